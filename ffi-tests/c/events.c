/*
 * Events: received with a blocking call, or with poll on the descriptor; watching streams; a queue that is full; being
 * released, and the manager closed, while another thread waits.
 */
#include "check.h"

#include <poll.h>

static mgr_event next(mgr_events_t events)
{
    mgr_event event = {.struct_size = sizeof event};

    OK(mgr_events_next(events, PATIENCE_MS, &event));
    return event;
}

static void expect(mgr_events_t events, int32_t kind, mgr_id id)
{
    mgr_event event = next(events);

    EQUAL(kind, event.kind);
    TEXT(id.text, event.id.text);
    EQUAL(0, event.missed);
}

static void blocking(void)
{
    mgr_t manager = open_manager(), scope;
    mgr_events_t all, mine;
    mgr_event event = {.struct_size = sizeof event};
    mgr_request_t request = new_request("exit 3");
    mgr_id id, other;
    size_t ended = 0, closed = 0, count;

    OK(mgr_scope(manager, "me", &scope));
    OK(mgr_events_open(manager, &all));
    OK(mgr_events_open(scope, &mine));
    CODE(MGR_TIMEOUT, mgr_events_next(all, 0, &event));
    CODE(MGR_TIMEOUT, mgr_events_next(all, 20, &event));
    other = start(manager, ":");
    OK(mgr_start(scope, request, &id, NULL));
    /* The scope receives events of its own processes. The last two come in either order. */
    expect(mine, MGR_EVENT_STARTED, id);
    for (count = 0; count < 2; count++) {
        event = next(mine);
        TEXT(id.text, event.id.text);
        ended += event.kind == MGR_EVENT_ENDED;
        closed += event.kind == MGR_EVENT_OUTPUT_CLOSED;
    }
    EQUAL(1, ended);
    EQUAL(1, closed);
    CODE(MGR_TIMEOUT, mgr_events_next(mine, 0, &event));
    EQUAL(3, inspect(manager, id).exit_code);
    /* The manager receives all events. */
    for (count = 0; count < 6; count++) {
        event = next(all);
        CHECK(strcmp(id.text, event.id.text) == 0 || strcmp(other.text, event.id.text) == 0);
    }
    CODE(MGR_TIMEOUT, mgr_events_next(all, 0, &event));

    /* A stop that goes on by itself. */
    id = start(manager, "exec sleep 300");
    expect(all, MGR_EVENT_STARTED, id);
    OK(mgr_stop_begin(manager, id.text, 0));
    for (count = 0; count < 3; count++) {
        event = next(all);
        TEXT(id.text, event.id.text);
        if (event.kind == MGR_EVENT_STOPPED)
            break;
    }
    CHECK(count < 3);
    EQUAL(MGR_BY_STOP, inspect(manager, id).ended_by);

    OK(mgr_request_free(request));
    OK(mgr_events_release(mine));
    OK(mgr_release(scope));
    OK(mgr_release(manager));
    OK(mgr_events_release(all));
}

static int readable(int descriptor, int timeout)
{
    struct pollfd set = {.fd = descriptor, .events = POLLIN};
    int count = poll(&set, 1, timeout);

    CHECK(count >= 0);
    return count == 1 && (set.revents & POLLIN) != 0;
}

/* Follows several processes with one thread, one descriptor and no call that blocks. */
static void with_poll(void)
{
    mgr_t manager = open_manager();
    mgr_event event = {.struct_size = sizeof event};
    mgr_events_t events;
    int32_t descriptor = -1, again = -2;
    struct {
        mgr_id id;
        uint64_t cursor;
        int done;
    } all[3];
    const size_t count = sizeof all / sizeof all[0];
    size_t index, left = count, length;
    char buffer[256];
    int32_t code;

    OK(mgr_events_open(manager, &events));
    OK(mgr_events_descriptor(events, &descriptor));
    OK(mgr_events_descriptor(events, &again));
    EQUAL(descriptor, again);
    /* It may be readable without an event, once. */
    CODE(MGR_TIMEOUT, mgr_events_next(events, 0, &event));
    CHECK(!readable(descriptor, 0));
    for (index = 0; index < count; index++) {
        all[index].id = start(manager, "for i in 1 2 3 4 5; do echo $i; sleep 0.02; done");
        all[index].cursor = 0;
        all[index].done = 0;
        OK(mgr_events_watch(events, manager, all[index].id.text, MGR_STDOUT, 0));
    }
    while (left > 0) {
        CHECK(readable(descriptor, PATIENCE_MS));
        while ((code = mgr_events_next(events, 0, &event)) == MGR_OK) {
            if (event.kind != MGR_EVENT_READABLE)
                continue;
            EQUAL(MGR_STDOUT, event.stream);
            for (index = 0; strcmp(all[index].id.text, event.id.text) != 0; index++)
                CHECK(index + 1 < count);
            do
                code = mgr_read(manager, event.id.text, MGR_STDOUT | MGR_READ_UNTIL_END, &all[index].cursor, buffer,
                                sizeof buffer, &length, NULL, 0);
            while (code == MGR_OK);
            if (code == MGR_TIMEOUT) {
                OK(mgr_events_watch(events, manager, event.id.text, MGR_STDOUT, all[index].cursor));
            } else {
                CHECK(code == MGR_ENDED || code == MGR_EOF);
                EQUAL(10, all[index].cursor);
                CHECK(!all[index].done);
                all[index].done = 1;
                left--;
            }
        }
        EQUAL(MGR_TIMEOUT, code);
    }
    OK(mgr_close(manager));
    /* After the end it stays readable, so that a loop that waits notices it. */
    while ((code = mgr_events_next(events, 0, &event)) == MGR_OK)
        ;
    EQUAL(MGR_ERR_CLOSED, code);
    CHECK(readable(descriptor, 0));
    OK(mgr_events_release(events));
    OK(mgr_release(manager));
}

static void full_queue(void)
{
    const uint64_t asked = 16384 + 100;
    mgr_t manager = open_manager();
    mgr_events_t events;
    mgr_event event = {.struct_size = sizeof event};
    mgr_id id = start(manager, "echo x");
    uint64_t readable = 0, others = 0, missed = 0, number;
    int32_t code;

    wait_for(manager, id);
    OK(mgr_events_open(manager, &events));
    for (number = 0; number < asked; number++)
        OK(mgr_events_watch(events, manager, id.text, MGR_STDOUT, 0));
    while ((code = mgr_events_next(events, 0, &event)) == MGR_OK) {
        if (event.kind == MGR_EVENT_MISSED) {
            TEXT("", event.id.text);
            CHECK(event.missed > 0);
            missed += event.missed;
        } else {
            TEXT(id.text, event.id.text);
            EQUAL(0, event.missed);
            *(event.kind == MGR_EVENT_READABLE ? &readable : &others) += 1;
        }
    }
    EQUAL(MGR_TIMEOUT, code);
    /* The process may be reported ended, and its output closed, a moment after the wait. */
    CHECK(missed >= 100 && missed <= 102);
    CHECK(readable + others >= 16384 && readable + others <= 16384 + 2);
    CHECK(readable + others + missed <= asked + 2);
    OK(mgr_events_release(events));
    OK(mgr_release(manager));
}

typedef struct waiting {
    mgr_events_t events;
    pthread_barrier_t ready;
} waiting;

static void *wait_for_the_end(void *argument)
{
    waiting *all = argument;
    mgr_event event = {.struct_size = sizeof event};
    int32_t code;

    pthread_barrier_wait(&all->ready);
    do
        code = mgr_events_next(all->events, -1, &event);
    while (code == MGR_OK);
    CHECK(code == MGR_ERR_CLOSED || code == MGR_ERR_HANDLE);
    return NULL;
}

static void woken(int close_it)
{
    mgr_t manager = open_manager();
    waiting all;
    pthread_t threads[4];
    size_t number;

    OK(mgr_events_open(manager, &all.events));
    EQUAL(0, pthread_barrier_init(&all.ready, NULL, 5));
    for (number = 0; number < 4; number++)
        threads[number] = run_thread(wait_for_the_end, &all);
    pthread_barrier_wait(&all.ready);
    if (close_it) {
        start(manager, "exec sleep 300");
        OK(mgr_close(manager));
    } else {
        OK(mgr_events_release(all.events));
    }
    for (number = 0; number < 4; number++)
        join_thread(threads[number]);
    EQUAL(0, pthread_barrier_destroy(&all.ready));
    if (close_it)
        OK(mgr_events_release(all.events));
    OK(mgr_release(manager));
}

/* A subscription that goes while it watches. */
static void released_while_watching(void)
{
    mgr_t manager = open_manager();
    mgr_events_t events;
    mgr_id id = start(manager, "echo x; exec sleep 300");
    int32_t descriptor;
    int round;

    wait_for_output(manager, id, 2);
    for (round = 0; round < 100; round++) {
        OK(mgr_events_open(manager, &events));
        if (round % 2 == 0)
            OK(mgr_events_descriptor(events, &descriptor));
        OK(mgr_events_watch(events, manager, id.text, MGR_STDOUT, 1000000));
        OK(mgr_events_watch(events, manager, id.text, MGR_STDOUT, 0));
        OK(mgr_events_watch(events, manager, id.text, MGR_STDOUT, 1000000));
        OK(mgr_events_release(events));
    }
    OK(mgr_release(manager));
}

int main(int argc, char **argv)
{
    int round;

    blocking();
    with_poll();
    full_queue();
    released_while_watching();
    for (round = rounds(argc, argv, 20); round > 0; round--)
        woken(round % 2);
    return 0;
}
