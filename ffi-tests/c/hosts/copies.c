/*
 * A host that forks with live children, and uses the library on both sides. The copy is told what it is; the parent and its
 * children do not notice. A copy that becomes another program is a host of its own.
 */
#include "host.h"

static void in_the_copy(mgr_t manager, mgr_id id, mgr_request_t request)
{
    mgr_process process = {.struct_size = sizeof process};
    mgr_t other = 0;

    alarm(PATIENCE_MS / 1000);
    CODE(MGR_ERR_FORKED, mgr_open(0, &other));
    CODE(MGR_ERR_FORKED, mgr_start(manager, request, NULL, NULL));
    CODE(MGR_ERR_FORKED, mgr_inspect(manager, id.text, &process));
    CODE(MGR_ERR_FORKED, mgr_signal(manager, id.text, SIGKILL));
    CODE(MGR_ERR_FORKED, mgr_stop(manager, id.text, 0, NULL));
    CODE(MGR_ERR_FORKED, mgr_sweep_orphans(manager, NULL));
    CODE(MGR_ERR_FORKED, mgr_close(manager));
    CODE(MGR_ERR_FORKED, mgr_release(manager));
}

/* The program that a copy becomes: it starts, sweeps and closes, and ends only its own. */
static int another_host(void)
{
    mgr_t manager = open_manager();

    OK(mgr_sweep_orphans(manager, NULL));
    OK(mgr_release(manager));
    check_host(KNOWN);
    check_no_children();
    return 0;
}

int main(int argc, char **argv)
{
    int round;
    mgr_t manager;
    mgr_request_t request;
    mgr_id counting, away;
    mgr_process process = {.struct_size = sizeof process};

    if (argc > 1)
        return another_host();
    manager = open_manager();
    request = new_request("echo never; exit 3");
    /* One that goes on counting, and one that has left its group. */
    counting = start(manager, "echo ready; while :; do sleep 0.02; echo next; done");
    away = start(manager, "setsid sh -c 'echo ready; exec sleep 300'; :");
    wait_for_output(manager, counting, 6);
    wait_for_output(manager, away, 6);
    for (round = 0; round < 3; round++) {
        pid_t child = fork_host();

        if (child == 0) {
            in_the_copy(manager, counting, request);
            if (round < 2)
                /* With everything that an end runs, and without. */
                round == 0 ? exit(0) : _exit(0);
            execl("/proc/self/exe", argv[0], "another", (char *)NULL);
            _exit(1);
        }
        check_works(manager);
        check_child(child);
        process = inspect(manager, counting);
        EQUAL(MGR_RUNNING, process.state);
        EQUAL(MGR_RUNNING, inspect(manager, away).state);
        /* Its output is still taken. */
        wait_for_output(manager, counting, process.output_bytes + 1);
        check_works(manager);
    }
    OK(mgr_request_free(request));
    OK(mgr_signal(manager, counting.text, SIGTERM));
    process = wait_for(manager, counting);
    check_killed(KNOWN, SIGTERM, MGR_BY_SIGNAL, &process);
    OK(mgr_stop(manager, away.text, 1000, &process));
    EQUAL(MGR_BY_STOP, process.ended_by);
    check_promises(manager, KNOWN);
    check_no_children();
    return 0;
}
