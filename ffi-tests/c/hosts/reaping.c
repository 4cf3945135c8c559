/*
 * A host that calls waitpid(-1) in a loop, in another thread or in its handler of SIGCHLD, and so takes the status of our
 * children, now and then before we can: it is known, or said to be lost, and never anything else.
 */
#include "host.h"

#include <stdatomic.h>

static atomic_int done;

static void *reap_all(void *nothing)
{
    while (!atomic_load(&done))
        if (waitpid(-1, NULL, 0) == -1)
            sched_yield();
    return nothing;
}

static void reap_all_ended(int signal)
{
    int error = errno;

    (void)signal;
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
    errno = error;
}

static void check_reaping(const char *how)
{
    int round, lost = 0;
    mgr_t manager;

    check_host(EITHER);
    manager = open_manager();
    for (round = 0; round < 30; round++) {
        mgr_id id = start(manager, "echo here; exit 9");
        mgr_process process = wait_for(manager, id);
        char text[64];

        check_exited(EITHER, 9, &process);
        lost += process.state == MGR_LOST;
        read_output(manager, id, text, sizeof text);
        TEXT("here\n", text);
    }
    OK(mgr_release(manager));
    printf("%s: %d of %d lost\n", how, lost, 30);
}

int main(void)
{
    pthread_t thread = run_thread(reap_all, NULL);

    check_reaping("in a thread");
    atomic_store(&done, 1);
    join_thread(thread);
    check_no_children();

    /* With and without calls that it interrupts. */
    set_action(SIGCHLD, reap_all_ended, SA_RESTART);
    check_reaping("in a handler");
    set_action(SIGCHLD, reap_all_ended, 0);
    check_reaping("in a handler that interrupts");
    check_no_children();
    return 0;
}
