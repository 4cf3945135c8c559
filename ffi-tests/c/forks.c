/*
 * A host that forks, while other threads are inside the library and hold its locks. In the copy every function answers
 * MGR_ERR_FORKED at once, for every argument; the parent goes on, and nothing that the copy does, its end included, harms
 * the parent's processes.
 */
#include "check.h"

#include <stdatomic.h>

typedef struct shared {
    mgr_t manager, scope;
    mgr_config_t config;
    mgr_request_t request;
    mgr_events_t events;
    mgr_id id;
    atomic_int stop;
} shared;

#define FORKED(call) CODE(MGR_ERR_FORKED, call)

static void in_the_copy(const shared *all)
{
    mgr_process process = {.struct_size = sizeof process};
    mgr_error error = {.struct_size = sizeof error};
    mgr_event event = {.struct_size = sizeof event};
    mgr_t manager = 42;
    mgr_config_t config = 42;
    mgr_request_t request = 42;
    mgr_events_t events = 42;
    uint64_t cursor = 3;
    int32_t descriptor = 42;
    const char *id = all->id.text;
    char text[8] = "before";
    size_t length = 42;
    mgr_id started = {"before"};

    /* A call that hangs ends the copy. */
    alarm(PATIENCE_MS / 1000);
    TEXT(MGR_VERSION, mgr_version());
    EQUAL(MGR_VERSION_NUMBER, mgr_version_number());
    CHECK(strlen(mgr_strerror(MGR_ERR_FORKED)) > 0);

    FORKED(mgr_config_new(&config));
    FORKED(mgr_config_shell(all->config, "/bin/sh"));
    FORKED(mgr_config_directory(all->config, "/"));
    FORKED(mgr_config_clear_environment(all->config));
    FORKED(mgr_config_variable(all->config, "A", "1"));
    FORKED(mgr_config_owner_variable(all->config, "A"));
    FORKED(mgr_config_start_method(all->config, MGR_START_STD));
    FORKED(mgr_config_head_bytes(all->config, 1));
    FORKED(mgr_config_tail_bytes(all->config, 1));
    FORKED(mgr_config_max_line_bytes(all->config, 1));
    FORKED(mgr_config_max_processes(all->config, 1));
    FORKED(mgr_config_max_ended(all->config, 1));
    FORKED(mgr_config_keep_ended_ms(all->config, 1));
    FORKED(mgr_config_keep_keyed_ms(all->config, 1));
    FORKED(mgr_config_stop_grace_ms(all->config, 1));
    FORKED(mgr_config_close_grace_ms(all->config, 1));
    FORKED(mgr_config_free(all->config));
    FORKED(mgr_request_new(":", &request));
    FORKED(mgr_request_new_program("true", &request));
    FORKED(mgr_request_argument(all->request, "x"));
    FORKED(mgr_request_directory(all->request, "/"));
    FORKED(mgr_request_variable(all->request, "A", "1"));
    FORKED(mgr_request_owner(all->request, "x"));
    FORKED(mgr_request_background(all->request, 1));
    FORKED(mgr_request_time_limit_ms(all->request, 1));
    FORKED(mgr_request_separate_streams(all->request, 1));
    FORKED(mgr_request_lossless(all->request, 1));
    FORKED(mgr_request_key(all->request, "k", 1));
    FORKED(mgr_request_id(all->request, id));
    FORKED(mgr_request_start_timeout_ms(all->request, 1));
    FORKED(mgr_request_free(all->request));
    FORKED(mgr_open(0, &manager));
    FORKED(mgr_open(all->config, &manager));
    FORKED(mgr_scope(all->manager, "me", &manager));
    FORKED(mgr_start(all->manager, all->request, &started, &error));
    EQUAL(MGR_ERR_FORKED, error.code);
    EQUAL(0, errno);
    FORKED(mgr_start(all->scope, all->request, NULL, NULL));
    FORKED(mgr_list(all->manager, &process, 1, &length));
    FORKED(mgr_inspect(all->manager, id, &process));
    FORKED(mgr_wait(all->manager, id, -1, &process));
    FORKED(mgr_read(all->manager, id, MGR_STDOUT, &cursor, text, sizeof text, &length, NULL, -1));
    FORKED(mgr_output(all->manager, id, MGR_STDOUT, text, sizeof text, &length, NULL));
    FORKED(mgr_command(all->manager, id, text, sizeof text, &length));
    FORKED(mgr_directory(all->manager, id, text, sizeof text, &length));
    FORKED(mgr_owner(all->manager, id, text, sizeof text, &length));
    FORKED(mgr_signal(all->manager, id, SIGKILL));
    FORKED(mgr_stop(all->manager, id, 0, &process));
    FORKED(mgr_stop_begin(all->manager, id, 0));
    FORKED(mgr_cancel(all->manager, "k", 1, -1, &process));
    FORKED(mgr_find(all->manager, "k", 1, &started));
    FORKED(mgr_forget(all->manager, id));
    FORKED(mgr_forget_key(all->manager, "k", 1));
    FORKED(mgr_instance(all->manager, &started));
    FORKED(mgr_sweep_orphans(all->manager, &length));
    FORKED(mgr_events_open(all->manager, &events));
    FORKED(mgr_events_next(all->events, -1, &event));
    FORKED(mgr_events_descriptor(all->events, &descriptor));
    FORKED(mgr_events_watch(all->events, all->manager, id, MGR_STDOUT, 0));
    FORKED(mgr_events_release(all->events));
    FORKED(mgr_close(all->scope));
    FORKED(mgr_close(all->manager));
    FORKED(mgr_release(all->scope));
    FORKED(mgr_release(all->manager));
    /* What is wrong in other ways is forked all the same, and nothing was written. */
    FORKED(mgr_inspect(999999999, NULL, NULL));
    FORKED(mgr_config_new(NULL));
    EQUAL(42, manager);
    EQUAL(42, config);
    EQUAL(42, request);
    EQUAL(42, events);
    EQUAL(42, descriptor);
    EQUAL(42, length);
    EQUAL(3, cursor);
    EQUAL(0, process.pid);
    TEXT("before", text);
    TEXT("before", started.text);
}

/* Ends a copy, with everything that a program's end runs or without. */
static void leave(int in_order)
{
    /* A leak of a copy means nothing: the threads that hold its memory are not in it. */
    if (under_valgrind())
        execl("/bin/sh", "sh", "-c", ":", (char *)NULL);
    if (in_order)
        exit(0);
    _exit(0);
}

/* Keeps the library's locks busy. */
static void *hammer(void *argument)
{
    shared *all = argument;
    mgr_event event = {.struct_size = sizeof event};
    mgr_request_t request;

    while (!atomic_load(&all->stop)) {
        mgr_process process = inspect(all->manager, all->id);

        EQUAL(MGR_RUNNING, process.state);
        request = new_request(":");
        OK(mgr_request_variable(all->request, "A", "1"));
        OK(mgr_config_max_ended(all->config, 7));
        OK(mgr_list(all->manager, NULL, 0, NULL));
        OK(mgr_events_watch(all->events, all->manager, all->id.text, MGR_STDOUT, 0));
        CHECK(mgr_events_next(all->events, 0, &event) >= 0);
        OK(mgr_request_free(request));
    }
    return NULL;
}

int main(int argc, char **argv)
{
    shared all = {.stop = 0};
    pthread_t threads[2];
    pid_t child;
    int round;

    all.manager = open_manager();
    OK(mgr_scope(all.manager, "me", &all.scope));
    OK(mgr_config_new(&all.config));
    OK(mgr_events_open(all.manager, &all.events));
    all.request = new_request(":");
    all.id = start(all.manager, "echo x; exec sleep 300");
    wait_for_output(all.manager, all.id, 2);
    threads[0] = run_thread(hammer, &all);
    threads[1] = run_thread(hammer, &all);

    for (round = rounds(argc, argv, 50); round > 0; round--) {
        child = fork();
        if (child == 0) {
            in_the_copy(&all);
            /* A copy of the copy is one too. */
            child = fork();
            if (child == 0) {
                in_the_copy(&all);
                leave(0);
            }
            check_child(child);
            leave(round % 2 == 0);
        }
        check_child(child);
        EQUAL(MGR_RUNNING, inspect(all.manager, all.id).state);
    }
    atomic_store(&all.stop, 1);
    join_thread(threads[0]);
    join_thread(threads[1]);

    check_works(all.manager);
    check_works(all.scope);
    OK(mgr_stop(all.manager, all.id.text, 0, NULL));
    OK(mgr_request_free(all.request));
    OK(mgr_config_free(all.config));
    OK(mgr_events_release(all.events));
    OK(mgr_release(all.scope));
    OK(mgr_release(all.manager));
    return 0;
}
