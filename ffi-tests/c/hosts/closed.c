/*
 * A host that has closed some of 0, 1 and 2, in all eight combinations: its children have theirs, and what the library
 * opens in the host takes none of these numbers for good.
 */
#include "host.h"

static void with_closed(int which)
{
    int descriptor;
    mgr_t manager;

    become_clean();
    /* Messages of a failed check go where they can be read. */
    EQUAL(100, dup2(2, 100));
    EQUAL(0, fcntl(100, F_SETFD, FD_CLOEXEC));
    for (descriptor = 0; descriptor < 3; descriptor++)
        if (which & 1 << descriptor)
            close(descriptor);
    stderr = fdopen(100, "w");
    manager = open_manager();
    mgr_id id = start(manager, "echo ready; exec sleep 300");
    wait_for_output(manager, id, 6);
    for (descriptor = 0; descriptor < 3; descriptor++)
        EQUAL(which & 1 << descriptor ? -1 : 0, fcntl(descriptor, F_GETFD) == -1 ? -1 : 0);
    OK(mgr_stop(manager, id.text, 0, NULL));
    check_promises(manager, KNOWN);

    /* The same with descriptors that are not close-on-exec. */
    CHECK(open("/dev/null", O_RDONLY) >= 0 || which == 0);
    EQUAL(101, dup2(100, 101));
    for (descriptor = 0; descriptor < 3; descriptor++)
        if (which & 1 << descriptor)
            close(descriptor);
    check_host(KNOWN);
    for (descriptor = 0; descriptor < 3; descriptor++)
        EQUAL(which & 1 << descriptor ? -1 : 0, fcntl(descriptor, F_GETFD) == -1 ? -1 : 0);
    check_no_children();
}

int main(void)
{
    int which;

    for (which = 0; which < 8; which++) {
        pid_t child = fork_host();

        if (child == 0) {
            with_closed(which);
            _exit(0);
        }
        fprintf(stderr, "closed: %s%s%s\n", which & 1 ? "0 " : "", which & 2 ? "1 " : "", which & 4 ? "2 " : "");
        check_child(child);
    }
    return 0;
}
