/*
 * A host in which SIGPIPE is at its default, and would end it, and one that ignores SIGPIPE: nothing that the library does
 * raises it, and children have it at its default.
 */
#include "host.h"

static void check_pipes(enum knowledge knowledge)
{
    mgr_t manager = open_manager();
    mgr_events_t events;
    char text[64];
    mgr_id id;

    /* yes ends by the signal, and does not complain. */
    output_of(manager, "(yes; echo $? >&2) | head -n 1 >/dev/null", text, sizeof text);
    TEXT("141\n", text);
    /* A child that closes everything while the library writes and wakes. */
    OK(mgr_events_open(manager, &events));
    id = start(manager, "exec <&- >&- 2>&-; sleep 0.05");
    OK(mgr_events_release(events));
    wait_for(manager, id);
    OK(mgr_release(manager));
    check_host(knowledge);
}

int main(void)
{
    set_action(SIGPIPE, SIG_DFL, 0);
    check_pipes(KNOWN);
    set_action(SIGPIPE, SIG_IGN, 0);
    check_pipes(KNOWN);
    check_no_children();
    return 0;
}
