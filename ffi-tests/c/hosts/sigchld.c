/*
 * A host that ignores SIGCHLD, and one that has set SA_NOCLDWAIT: the kernel throws the status of each child away, so that
 * an end is known and how it came about is not. Everything else is as in any host.
 */
#include "host.h"

static void nothing(int signal)
{
    (void)signal;
}

int main(void)
{
    set_action(SIGCHLD, SIG_IGN, 0);
    check_host(LOST);
    set_action(SIGCHLD, SIG_DFL, SA_NOCLDWAIT);
    check_host(LOST);
    set_action(SIGCHLD, nothing, SA_NOCLDWAIT | SA_RESTART);
    check_host(LOST);
    /* A handler alone is no harm. */
    set_action(SIGCHLD, nothing, 0);
    check_host(KNOWN);
    check_no_children();
    return 0;
}
