/*
 * A host that has blocked every signal in every thread, as a daemon that waits for signals with sigwait; and one that
 * ignores all signals besides. Its children can be told to end all the same.
 */
#include "host.h"

static void *from_a_thread(void *nothing)
{
    check_host(KNOWN);
    return nothing;
}

int main(void)
{
    sigset_t mask, full;
    int signal;

    block_everything();
    sigfillset(&full);
    check_host(KNOWN);
    join_thread(run_thread(from_a_thread, NULL));

    /* SIGCHLD has a program of its own: ignored it changes what can be known. */
    for (signal = 1; signal < 65; signal++)
        if (signal != SIGKILL && signal != SIGSTOP && signal != SIGCHLD && signal != 32 && signal != 33)
            set_action(signal, SIG_IGN, 0);
    check_host(KNOWN);
    join_thread(run_thread(from_a_thread, NULL));
    check_no_children();

    /* The host is as it was. */
    EQUAL(0, pthread_sigmask(SIG_SETMASK, NULL, &mask));
    for (signal = 1; signal < 65; signal++) {
        EQUAL(sigismember(&full, signal), sigismember(&mask, signal) || signal == SIGKILL || signal == SIGSTOP);
        if (signal != SIGKILL && signal != SIGSTOP && signal != SIGCHLD && signal != 32 && signal != 33) {
            struct sigaction action;

            EQUAL(0, sigaction(signal, NULL, &action));
            CHECK(action.sa_handler == SIG_IGN);
        }
    }
    set_action(SIGCHLD, SIG_IGN, 0);
    check_host(LOST);
    return 0;
}
