/*
 * A host with handlers for many signals, while another process sends these to the host's process group all the time, and
 * signals that are ignored by default to the host's children. A handler never runs in a child, though a child has the memory
 * of the host until it executes its program; no call fails for a signal; no signal to the host's group ends a child.
 */
#include "host.h"

#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

/* What the host, its children and the sender see of one another. */
struct shared {
    /* Handlers that ran in the host, and in another process. */
    atomic_ulong handled, elsewhere;
    /* The last signal and pid of the latter. */
    atomic_int signal, pid;
    /* Signals that were sent to the group, and to children. */
    atomic_ulong to_group, to_children;
};

static struct shared *shared;
static pid_t host;

static void handle(int signal)
{
    int error = errno;
    pid_t pid = (pid_t)syscall(SYS_getpid);

    if (pid == host) {
        atomic_fetch_add(&shared->handled, 1);
    } else {
        atomic_fetch_add(&shared->elsewhere, 1);
        atomic_store(&shared->signal, signal);
        atomic_store(&shared->pid, pid);
    }
    errno = error;
}

/* Sends signals whose default is to be ignored to each child in a list of pids. */
static void send_to_children(const char *list, pid_t self)
{
    while (*list != 0) {
        char *end;
        pid_t pid = (pid_t)strtol(list, &end, 10);

        if (end == list)
            return;
        if (pid > 1 && pid != self && kill(pid, SIGWINCH) == 0 && kill(pid, SIGURG) == 0)
            atomic_fetch_add(&shared->to_children, 2);
        list = end;
    }
}

/* Until it is killed. */
static void send(const int *signals, int count)
{
    pid_t self = getpid();
    char path[64], list[4096];
    int i, children;

    EQUAL(0, prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0));
    CHECK(getppid() == host);
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)host, (int)host);
    children = open(path, O_RDONLY | O_CLOEXEC);
    for (;;) {
        /* Several rounds for each start. Without a pause, the host would do nothing but run its handlers. */
        struct timespec pause = {.tv_sec = 0, .tv_nsec = 50000};

        nanosleep(&pause, NULL);
        for (i = 0; i < count; i++)
            if (kill(-host, signals[i]) == 0)
                atomic_fetch_add(&shared->to_group, 1);
        if (children >= 0) {
            ssize_t length = pread(children, list, sizeof list - 1, 0);

            list[length < 0 ? 0 : length] = 0;
            send_to_children(list, self);
        }
    }
}

int main(int argc, char **argv)
{
    const char *all = getenv("PROCMGR_TEST_ALL");
    int starts = rounds(argc, argv, all != NULL && strcmp(all, "1") == 0 ? 10000 : 1000);
    int signals[] = {SIGUSR1, SIGUSR2, SIGWINCH, SIGTERM,  SIGINT,       SIGHUP,  SIGQUIT,
                     SIGALRM, SIGURG,  SIGCONT,  SIGRTMIN, SIGRTMIN + 1, SIGRTMAX};
    const int count = (int)(sizeof signals / sizeof signals[0]);
    /* A signal that is pending already is not queued again: else handlers would run all the time. */
    struct rlimit no_queue = {0, 0};
    mgr_t manager;
    mgr_request_t request;
    int64_t began;
    pid_t sender;
    int i, status;

    become_clean();
    if (getpgrp() != getpid())
        EQUAL(0, setpgid(0, 0));
    EQUAL(0, setrlimit(RLIMIT_SIGPENDING, &no_queue));
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
    host = getpid();
    /* With and without calls that it interrupts. */
    for (i = 0; i < count; i++)
        set_action(signals[i], handle, i % 2 == 0 ? SA_RESTART : 0);
    /* Before the library is used: a copy could not use it. */
    sender = fork_host();
    if (sender == 0) {
        /* First, so that it does not signal itself. */
        EQUAL(0, setpgid(0, 0));
        send(signals, count);
    }
    while (atomic_load(&shared->handled) == 0)
        sched_yield();

    manager = open_manager();
    OK(mgr_request_new_program("/bin/true", &request));
    began = now_ms();
    /* Fewer on a slow machine. */
    for (i = 0; i < starts && (i < 1000 || now_ms() - began < PATIENCE_MS); i++) {
        mgr_process process = {.struct_size = sizeof process};
        mgr_id id;

        OK(mgr_start(manager, request, &id, NULL));
        process = wait_for(manager, id);
        if (process.state != MGR_EXITED || process.exit_code != 0)
            fprintf(stderr, "start %d: state %d, exit code %d, signal %d\n", i, (int)process.state,
                    (int)process.exit_code, (int)process.signal);
        if (atomic_load(&shared->elsewhere) != 0)
            fprintf(stderr, "start %d: the handler of signal %d ran in process %d; the child was %d\n", i,
                    atomic_load(&shared->signal), atomic_load(&shared->pid), (int)process.pid);
        EQUAL(0, atomic_load(&shared->elsewhere));
        check_exited(KNOWN, 0, &process);
    }
    printf("storm: %d starts in %lld ms, %lu signals to the group and %lu to children, %lu handled, %lu elsewhere\n", i,
           (long long)(now_ms() - began), atomic_load(&shared->to_group), atomic_load(&shared->to_children),
           atomic_load(&shared->handled), atomic_load(&shared->elsewhere));
    OK(mgr_request_free(request));
    OK(mgr_release(manager));
    /* Everything else, too. */
    check_host(KNOWN);
    EQUAL(0, atomic_load(&shared->elsewhere));

    EQUAL(0, kill(sender, SIGKILL));
    while (waitpid(sender, &status, 0) == -1)
        EQUAL(EINTR, errno);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    check_no_children();
    return 0;
}
