/*
 * Hosts with soft descriptor limits of 64 and of 1,048,576 (or as far as the hard one lets them): starting costs the same,
 * and the limit is the children's too.
 */
#include "host.h"

static void with_limit(rlim_t soft)
{
    struct rlimit limits;
    char text[64], wanted[64];
    mgr_t manager;
    int64_t began;
    int round;

    EQUAL(0, getrlimit(RLIMIT_NOFILE, &limits));
    if (soft > limits.rlim_max) {
        struct rlimit more = {.rlim_cur = soft, .rlim_max = soft};

        if (setrlimit(RLIMIT_NOFILE, &more) == 0) {
            limits = more;
        } else {
            printf("note: the hard limit of %llu cannot be raised\n", (unsigned long long)limits.rlim_max);
            soft = limits.rlim_max;
        }
    }
    limits.rlim_cur = soft;
    EQUAL(0, setrlimit(RLIMIT_NOFILE, &limits));
    snprintf(wanted, sizeof wanted, "%llu\n", (unsigned long long)soft);
    check_host(KNOWN);
    manager = open_manager();
    began = now_ms();
    output_of(manager, "ulimit -Sn", text, sizeof text);
    TEXT(wanted, text);
    for (round = 0; round < 20; round++)
        check_works(manager);
    /* No walk through a million numbers. */
    CHECK(now_ms() - began < 10000);
    OK(mgr_release(manager));
}

int main(void)
{
    with_limit(64);
    with_limit(1048576);
    /* One that is not closed on exec, at the far end of the range. */
    CHECK(fcntl(1, F_DUPFD, 15000) >= 15000);
    check_host(KNOWN);
    check_no_children();
    return 0;
}
