/*
 * A counter in pthread_atfork proves that a start does not fork: not the cleaning way, in any host, and not std's in a host
 * that has nothing to clean.
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
    pid_t child;

    become_clean();
    EQUAL(0, pthread_atfork(count, NULL, NULL));
    for (i = 0; i < METHOD_COUNT; i++)
        check_promises(open_with(METHODS[i]), KNOWN);
    EQUAL(0, forks);

    /* Nor in a host where there is something to clean. */
    CHECK(dup2(1, 50) == 50);
    set_action(SIGTERM, SIG_IGN, 0);
    block_everything();
    check_promises(open_with(MGR_START_POSIX_SPAWN), KNOWN);
    check_promises(open_with(MGR_START_AUTOMATIC), KNOWN);
    EQUAL(0, forks);
    /* Where std has to, it does; and the counter counts. */
    check_promises(open_with(MGR_START_STD), KNOWN);
    CHECK(forks > 0);
    i = forks;
    child = fork_host();
    if (child == 0)
        _exit(0);
    check_child(child);
    EQUAL(i + 1, forks);
    check_no_children();
    return 0;
}
