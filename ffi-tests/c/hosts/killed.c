/*
 * A host that dies by SIGKILL leaves its children behind; the next one sweeps them up: those in their groups, those that
 * got away, those with an ended leader. It touches neither its own nor those of another host that lives.
 */
#include "host.h"

#include <sys/prctl.h>

/* Four processes of each host: in the group, in a session of its own, orphaned twice, and left by an ended leader. */
#define LEFT 4
static const char *const COMMANDS[LEFT] = {
    "echo $$; exec sleep 300",
    "setsid sh -c 'echo $$; exec sleep 300'; :",
    "(setsid sh -c 'echo $$; exec sleep 300' &); sleep 300",
    "setsid sh -c 'echo $$; exec sleep 300' & exit 0",
};

/* Starts all, and writes their pids to a pipe. */
static void be_a_host(int told)
{
    mgr_t manager = open_manager();
    pid_t pids[LEFT];
    int i;

    for (i = 0; i < LEFT; i++) {
        mgr_id id = start(manager, COMMANDS[i]);
        char text[64];

        wait_for_output(manager, id, 2);
        OK(mgr_output(manager, id.text, MGR_STDOUT, text, sizeof text, NULL, NULL));
        pids[i] = atoi(text);
        CHECK(pids[i] > 1);
    }
    EQUAL((long long)sizeof pids, write(told, pids, sizeof pids));
    for (;;)
        pause();
}

static pid_t make_host(pid_t *pids)
{
    int told[2];
    pid_t host;

    EQUAL(0, pipe(told));
    host = fork_host();
    if (host == 0)
        be_a_host(told[1]);
    close(told[1]);
    EQUAL((long long)(LEFT * sizeof(pid_t)), read(told[0], pids, LEFT * sizeof(pid_t)));
    close(told[0]);
    return host;
}

static void check_alive(const pid_t *pids)
{
    int i;

    for (i = 0; i < LEFT; i++) {
        siginfo_t info = {0};

        EQUAL(0, kill(pids[i], 0));
        /* Neither is it a zombie, if it is ours. */
        if (waitid(P_PID, (id_t)pids[i], &info, WEXITED | WNOHANG | WNOWAIT) == 0)
            EQUAL(0, info.si_pid);
    }
}

int main(void)
{
    pid_t dead, living, orphans[LEFT], others[LEFT];
    mgr_t manager;
    mgr_id own;
    size_t count = 0;
    int i, status;

    /* What a dead host leaves behind comes to us, so that nothing of it is left as a zombie. */
    EQUAL(0, prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
    /* Before the library is used: a copy could not use it. */
    dead = make_host(orphans);
    living = make_host(others);
    EQUAL(0, kill(dead, SIGKILL));
    EQUAL(dead, waitpid(dead, &status, 0));
    CHECK(WIFSIGNALED(status));

    manager = open_manager();
    own = start(manager, "echo ready; exec sleep 300");
    wait_for_output(manager, own, 6);
    OK(mgr_sweep_orphans(manager, &count));
    for (i = 0; i < LEFT; i++)
        wait_until_gone(orphans[i]);
    check_alive(others);
    EQUAL(MGR_RUNNING, inspect(manager, own).state);
    check_works(manager);
    /* Others on this system may sweep too, so that only the sum of all counts is known. */
    printf("%zu ended\n", count);
    OK(mgr_sweep_orphans(manager, &count));
    check_alive(others);
    OK(mgr_sweep_orphans(manager, NULL));

    EQUAL(0, kill(living, SIGKILL));
    EQUAL(living, waitpid(living, &status, 0));
    OK(mgr_sweep_orphans(manager, &count));
    for (i = 0; i < LEFT; i++)
        wait_until_gone(others[i]);
    EQUAL(MGR_RUNNING, inspect(manager, own).state);
    OK(mgr_release(manager));
    /* The shells around them. */
    while (waitpid(-1, NULL, 0) > 0)
        ;
    check_no_children();
    return 0;
}
