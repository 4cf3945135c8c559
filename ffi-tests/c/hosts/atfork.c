/*
 * A counter in pthread_atfork proves that a start does not fork: not in a clean host, and not in one that has something that a
 * child must not inherit. The standard library's way does not fork in a clean host.
 */
#include "host.h"

static int forks;

static void count(void)
{
    forks++;
}

int main(void)
{
    int i;
    mgr_t with_std;
    pid_t child;

    become_clean();
    EQUAL(0, pthread_atfork(count, NULL, NULL));
    check_host(KNOWN);
    with_std = open_with(MGR_START_STD);
    check_works(with_std);
    OK(mgr_release(with_std));
    EQUAL(0, forks);

    CHECK(dup2(1, 50) == 50);
    set_action(SIGTERM, SIG_IGN, 0);
    block_everything();
    check_host(KNOWN);
    EQUAL(0, forks);
    /* The counter counts. */
    i = forks;
    child = fork_host();
    if (child == 0)
        _exit(0);
    check_child(child);
    EQUAL(i + 1, forks);
    check_no_children();
    return 0;
}
