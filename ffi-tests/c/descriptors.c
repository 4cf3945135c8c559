/*
 * A host that is out of descriptors: what cannot be done is said. A stop or close that answers MGR_OK has left nothing,
 * also when it had no descriptor to look for what the leader left behind.
 */
#include "check.h"

#include <sys/resource.h>

static rlim_t limit_descriptors(rlim_t soft)
{
    struct rlimit limits;
    rlim_t before;

    EQUAL(0, getrlimit(RLIMIT_NOFILE, &limits));
    before = limits.rlim_cur;
    limits.rlim_cur = soft;
    EQUAL(0, setrlimit(RLIMIT_NOFILE, &limits));
    return before;
}

/* A process that has ended and left another behind, in its group or in one of its own; gives the pid of that. */
static pid_t leave_a_survivor(mgr_t manager, const char *command, mgr_id *id)
{
    char text[32];

    *id = start(manager, command);
    wait_for(manager, *id);
    OK(mgr_output(manager, id->text, MGR_STDOUT, text, sizeof text, NULL, NULL));
    CHECK(atoi(text) > 1);
    /* setsid may still be under way. */
    while (strncmp(command, "setsid", 6) == 0 && getsid(atoi(text)) != atoi(text))
        pause_a_moment();
    return atoi(text);
}

static void out_of_descriptors(const char *command)
{
    mgr_t manager = open_manager();
    pid_t survivor;
    rlim_t before;
    int32_t stopped, closed;
    int left_by_stop, left_by_close, left;
    mgr_id id;

    survivor = leave_a_survivor(manager, command, &id);
    before = limit_descriptors(0);
    stopped = mgr_stop(manager, id.text, 0, NULL);
    left_by_stop = kill(survivor, 0) == 0;
    closed = mgr_close(manager);
    left_by_close = kill(survivor, 0) == 0;
    limit_descriptors(before);
    mgr_release(manager);
    left = kill(survivor, 0) == 0;
    if (left)
        kill(survivor, SIGKILL);
    printf("stop answers %d (left: %d), close %d (left: %d), after release with descriptors left: %d\n", (int)stopped,
           left_by_stop, (int)closed, left_by_close, left);
    CHECK(stopped != MGR_OK || !left_by_stop);
    CHECK(closed != MGR_OK || !left_by_close);
}

int main(void)
{
    out_of_descriptors("sleep 300 & echo $!");
    out_of_descriptors("setsid sleep 300 & echo $!");
    return 0;
}
