/*
 * A host that all orphans come to, as to the first process of a container, and that reaps none: what a command leaves
 * behind becomes the host's child, and a zombie when it is ended. That is not taken for something that is left.
 */
#include "host.h"

#include <sys/prctl.h>

static void check_zombies(void)
{
    mgr_t manager = open_manager();
    mgr_process process = {.struct_size = sizeof process};
    int64_t began = now_ms();
    char text[64];
    pid_t survivor;
    mgr_id id;

    /* One in the group, which keeps the group's number as a zombie, and one that got away; both without the output. */
    id = start(manager, "sleep 300 >&- 2>&- & echo $!; setsid sleep 300 >&- 2>&- & exit 5");
    process = wait_for(manager, id);
    check_exited(KNOWN, 5, &process);
    read_output(manager, id, text, sizeof text);
    survivor = atoi(text);
    CHECK(survivor > 1);
    OK(mgr_stop(manager, id.text, 5000, &process));
    wait_until_gone(survivor);
    /* It is ours to reap, and was not reaped. */
    EQUAL(0, kill(survivor, 0));
    CODE(MGR_ERR_NOT_RUNNING, mgr_signal(manager, id.text, SIGTERM));
    OK(mgr_stop(manager, id.text, 5000, &process));
    OK(mgr_close(manager));
    OK(mgr_release(manager));
    /* Neither is waited for. */
    CHECK(now_ms() - began < 10000);
}

int main(void)
{
    EQUAL(0, prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
    check_host(KNOWN);
    check_zombies();
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
    check_no_children();
    return 0;
}
