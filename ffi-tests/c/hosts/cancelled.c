/*
 * A host that cancels its threads: with pthread_cancel pending, every call returns as it does without, and the cancellation
 * takes effect at the next cancellation point of the thread itself.
 */
#include "host.h"

#include <stdatomic.h>

static mgr_t manager;
/* The thread runs, and its cancellation was requested. */
static atomic_int running, requested;
/* The thread has made all calls, and was not cancelled in the end. */
static atomic_int made, missed;

/* Starts a program without waiting. Nothing in it is a cancellation point. */
static mgr_id begin(const char *command)
{
    mgr_request_t request = new_request(command);
    mgr_id id;

    OK(mgr_start(manager, request, &id, NULL));
    OK(mgr_request_free(request));
    return id;
}

/* The output of a process to its end, by mgr_read alone. */
static void check_output(mgr_id id, const char *expected)
{
    char text[256];
    size_t length, filled = 0;
    uint64_t cursor = 0;
    int32_t code;

    for (;;) {
        code = mgr_read(manager, id.text, MGR_STDOUT, &cursor, text + filled, sizeof text - 1 - filled, &length, NULL,
                        PATIENCE_MS);
        if (code != MGR_OK)
            break;
        filled += length;
    }
    CHECK(code == MGR_EOF || code == MGR_ENDED);
    text[filled] = 0;
    TEXT(expected, text);
}

/* Every kind of call that opens, reads, waits or forks somewhere. */
static void make_calls(void)
{
    mgr_process process = {.struct_size = sizeof process};
    mgr_event event = {.struct_size = sizeof event};
    mgr_events_t events;
    mgr_request_t request;
    char text[256];
    size_t count;
    mgr_t with_std;
    mgr_id id;

    manager = open_manager();
    OK(mgr_events_open(manager, &events));

    id = begin("echo out; echo err >&2; exit 7");
    check_output(id, "out\nerr\n");
    process = wait_for(manager, id);
    check_exited(KNOWN, 7, &process);
    read_output(manager, id, text, sizeof text);
    TEXT("out\nerr\n", text);
    OK(mgr_events_next(events, PATIENCE_MS, &event));
    EQUAL(MGR_EVENT_STARTED, event.kind);
    CODE(MGR_ERR_NOT_RUNNING, mgr_signal(manager, id.text, SIGTERM));

    check_failed_start(manager, "/no/such/program", NULL, MGR_STEP_EXECUTE);
    check_failed_start(manager, "/bin/true", "/no/such/directory", MGR_STEP_DIRECTORY);

    OK(mgr_request_new_program("/bin/pwd", &request));
    OK(mgr_request_directory(request, "/"));
    OK(mgr_start(manager, request, &id, NULL));
    OK(mgr_request_free(request));
    check_output(id, "/\n");

    id = begin("echo ready; exec sleep 300");
    wait_for_output(manager, id, 6);
    CODE(MGR_TIMEOUT, mgr_wait(manager, id.text, 1, &process));
    OK(mgr_signal(manager, id.text, SIGTERM));
    process = wait_for(manager, id);
    check_killed(KNOWN, SIGTERM, MGR_BY_SIGNAL, &process);

    /* A stop that waits, and looks through all processes. */
    id = begin("trap '' TERM; setsid sleep 300 & echo ready; while :; do sleep 300; done");
    wait_for_output(manager, id, 6);
    OK(mgr_stop(manager, id.text, 20, &process));
    check_killed(KNOWN, SIGKILL, MGR_BY_STOP, &process);
    OK(mgr_sweep_orphans(manager, &count));
    OK(mgr_list(manager, NULL, 0, &count));
    EQUAL(4, count);

    with_std = open_with(MGR_START_STD);
    check_works(with_std);
    OK(mgr_release(with_std));

    id = begin("echo ready; exec sleep 300");
    wait_for_output(manager, id, 6);
    OK(mgr_close(manager));
    process = inspect(manager, id);
    check_killed(KNOWN, SIGKILL, MGR_BY_CLOSE, &process);
    OK(mgr_events_release(events));
    OK(mgr_release(manager));
}

static void *call_cancelled(void *nothing)
{
    atomic_store(&running, 1);
    /* No cancellation point. */
    while (!atomic_load(&requested))
        ;
    make_calls();
    atomic_store(&made, 1);
    pthread_testcancel();
    atomic_store(&missed, 1);
    return nothing;
}

/* Processes that the thread below has started and waited for. */
static atomic_int finished;

static void *start_until_cancelled(void *nothing)
{
    (void)nothing;
    for (;;) {
        mgr_id id = begin(":");
        mgr_process process = wait_for(manager, id);

        check_exited(KNOWN, 0, &process);
        atomic_fetch_add(&finished, 1);
        pthread_testcancel();
    }
    return NULL;
}

static void check_cancelled(pthread_t thread)
{
    void *result = NULL;

    EQUAL(0, pthread_join(thread, &result));
    CHECK(result == PTHREAD_CANCELED);
}

int main(void)
{
    pthread_t thread = run_thread(call_cancelled, NULL);
    size_t count;
    int round;

    while (!atomic_load(&running))
        sched_yield();
    EQUAL(0, pthread_cancel(thread));
    atomic_store(&requested, 1);
    check_cancelled(thread);
    EQUAL(1, atomic_load(&made));
    EQUAL(0, atomic_load(&missed));

    /* At any moment of a call: none is left half done. */
    manager = open_manager();
    for (round = 0; round < 100; round++) {
        int before = atomic_load(&finished);

        thread = run_thread(start_until_cancelled, NULL);
        while (atomic_load(&finished) == before)
            sched_yield();
        EQUAL(0, pthread_cancel(thread));
        check_cancelled(thread);
    }
    OK(mgr_list(manager, NULL, 0, &count));
    CHECK(count == (size_t)atomic_load(&finished) || atomic_load(&finished) > 1024);
    OK(mgr_release(manager));
    check_host(KNOWN);
    check_no_children();
    return 0;
}
