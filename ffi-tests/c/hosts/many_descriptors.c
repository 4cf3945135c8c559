/*
 * A host with 8,000 descriptors that are not close-on-exec: children get 0, 1 and 2 alone. The same where close_range is
 * refused, as before Linux 5.11 and in some containers, so that the descriptors are found by /proc/self/fd.
 */
#include "host.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

#define DESCRIPTORS 8000

/* Opens descriptors that are inherited; gives their number. */
static int open_many(void)
{
    struct rlimit limits;
    int null = open("/dev/null", O_RDWR), opened = 0;

    EQUAL(0, getrlimit(RLIMIT_NOFILE, &limits));
    if (limits.rlim_cur < 2 * DESCRIPTORS) {
        struct rlimit more = {.rlim_cur = 2 * DESCRIPTORS, .rlim_max = limits.rlim_max};

        if (more.rlim_max < more.rlim_cur)
            more.rlim_max = more.rlim_cur;
        if (setrlimit(RLIMIT_NOFILE, &more) != 0) {
            limits.rlim_cur = limits.rlim_max;
            EQUAL(0, setrlimit(RLIMIT_NOFILE, &limits));
        }
    }
    CHECK(null > 2);
    while (opened < DESCRIPTORS && dup(null) >= 0)
        opened++;
    if (opened < DESCRIPTORS) {
        printf("note: the hard limit lets only %d descriptors be opened\n", opened);
        /* Some for the library. */
        for (null = opened; null > opened - 200; null--)
            close(null);
        opened -= 200;
    }
    return opened;
}

/* Lets the kernel refuse close_range with this error, in this process and its children. */
static void refuse_close_range(int error)
{
    /* Only for programs of this architecture, as all of this test are. */
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_close_range, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof filter[0], filter};

    EQUAL(0, prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    EQUAL(0, prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
    EQUAL(-1, syscall(SYS_close_range, 1000000, 1000000, 0));
    EQUAL(error, errno);
}

static int compare(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;

    return (a > b) - (a < b);
}

static int64_t now_us(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

/* In a copy of its own, which the library has never been used in. */
static void check_many(const char *how, int error)
{
    int64_t times[50];
    int i, count;
    mgr_t manager;
    pid_t child = fork_host();

    if (child != 0) {
        check_child(child);
        return;
    }
    if (error != 0)
        refuse_close_range(error);
    count = open_many();
    manager = open_manager();
    for (i = 0; i < 50; i++) {
        int64_t began = now_us();
        mgr_id id = start_program(manager, "/bin/true", NULL);
        mgr_process process;

        times[i] = now_us() - began;
        process = wait_for(manager, id);
        check_exited(KNOWN, 0, &process);
    }
    qsort(times, 50, sizeof times[0], compare);
    printf("many_descriptors: %d, close_range %s: a start takes %lld us\n", count, how, (long long)times[25]);
    check_promises(manager, KNOWN);
    /* They are still the host's, and still not close-on-exec. */
    for (i = 3; i < count; i++)
        EQUAL(0, fcntl(i, F_GETFD));
    check_no_children();
    exit(0);
}

int main(void)
{
    become_clean();
    check_many("works", 0);
    check_many("is refused with ENOSYS", ENOSYS);
    check_many("is refused with EPERM", EPERM);
    return 0;
}
