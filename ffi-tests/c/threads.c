/*
 * Threads: eight that read, wait, list and signal while a ninth closes, and go on with it when it is closed and when it is
 * released; calls that block while the handle is released. What each call answers must be what the state allows.
 */
#include "check.h"

#define PROCESSES 4
#define CALLS 50

typedef struct shared {
    mgr_t manager;
    mgr_id ids[PROCESSES];
    pthread_barrier_t many;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int ready;
} shared;

typedef struct worker {
    shared *all;
    int number;
} worker;

/* One call of a kind; gives its answer. Fails if the answer is none that can be. */
static int32_t one_call(shared *all, int kind, uint64_t *cursor, int number)
{
    mgr_process processes[PROCESSES + 1] = {{.struct_size = sizeof(mgr_process)}};
    const char *id = all->ids[number % PROCESSES].text;
    char buffer[256];
    size_t length = 0;
    int32_t code;

    switch (kind) {
    case 0:
        code = mgr_read(all->manager, id, MGR_STDOUT, cursor, buffer, sizeof buffer, &length, NULL, 5);
        CHECK(code == MGR_OK || code == MGR_TIMEOUT || code == MGR_EOF || code == MGR_ERR_HANDLE);
        CHECK((code == MGR_OK) == (length > 0));
        return code;
    case 1:
        code = mgr_wait(all->manager, id, 5, processes);
        CHECK(code == MGR_OK || code == MGR_TIMEOUT || code == MGR_ERR_HANDLE);
        if (code == MGR_OK)
            EQUAL(MGR_BY_CLOSE, processes[0].ended_by);
        return code;
    case 2:
        code = mgr_list(all->manager, processes, PROCESSES + 1, &length);
        CHECK(code == MGR_OK || code == MGR_ERR_HANDLE);
        if (code == MGR_OK)
            EQUAL(PROCESSES, length);
        return code;
    default:
        code = mgr_signal(all->manager, id, SIGUSR1);
        CHECK(code == MGR_OK || code == MGR_ERR_NOT_RUNNING || code == MGR_ERR_HANDLE);
        return code;
    }
}

static void *work(void *argument)
{
    worker *self = argument;
    uint64_t cursor = 0;
    int call;

    for (call = 0;; call++) {
        if (call == CALLS) {
            EQUAL(0, pthread_mutex_lock(&self->all->lock));
            self->all->ready++;
            pthread_cond_broadcast(&self->all->changed);
            EQUAL(0, pthread_mutex_unlock(&self->all->lock));
        }
        /* Only a release ends it. */
        if (one_call(self->all, self->number % 4, &cursor, self->number + call) == MGR_ERR_HANDLE)
            return NULL;
    }
}

static void close_under_load(void)
{
    static const char command[] = "trap : USR1; while echo x; do sleep 0.01; done";
    worker workers[8];
    pthread_t threads[8];
    shared all = {.ready = 0};
    mgr_process process;
    int number;

    EQUAL(0, pthread_mutex_init(&all.lock, NULL));
    EQUAL(0, pthread_cond_init(&all.changed, NULL));
    all.manager = open_manager();
    for (number = 0; number < PROCESSES; number++) {
        all.ids[number] = start(all.manager, command);
        /* The trap is set. */
        wait_for_output(all.manager, all.ids[number], 2);
    }
    for (number = 0; number < 8; number++) {
        workers[number].all = &all;
        workers[number].number = number;
        threads[number] = run_thread(work, &workers[number]);
    }
    EQUAL(0, pthread_mutex_lock(&all.lock));
    while (all.ready < 8)
        EQUAL(0, pthread_cond_wait(&all.changed, &all.lock));
    EQUAL(0, pthread_mutex_unlock(&all.lock));

    OK(mgr_close(all.manager));
    for (number = 0; number < PROCESSES; number++) {
        process = inspect(all.manager, all.ids[number]);
        EQUAL(MGR_SIGNALED, process.state);
        EQUAL(SIGKILL, process.signal);
        EQUAL(0, process.output_open);
    }
    OK(mgr_release(all.manager));
    for (number = 0; number < 8; number++)
        join_thread(threads[number]);
    pthread_cond_destroy(&all.changed);
    pthread_mutex_destroy(&all.lock);
}

static void *blocked_wait(void *argument)
{
    shared *all = argument;
    mgr_process process = {.struct_size = sizeof process};
    int32_t code;

    pthread_barrier_wait(&all->many);
    code = mgr_wait(all->manager, all->ids[0].text, -1, &process);
    if (code != MGR_ERR_HANDLE) {
        EQUAL(MGR_OK, code);
        EQUAL(MGR_BY_CLOSE, process.ended_by);
    }
    return NULL;
}

static void *blocked_read(void *argument)
{
    shared *all = argument;
    uint64_t cursor = 0;
    char byte;
    size_t length;
    int32_t code;

    pthread_barrier_wait(&all->many);
    code = mgr_read(all->manager, all->ids[0].text, MGR_STDOUT, &cursor, &byte, 1, &length, NULL, -1);
    CHECK(code == MGR_EOF || code == MGR_ERR_HANDLE);
    return NULL;
}

static void *blocked_stop(void *argument)
{
    shared *all = argument;
    int32_t code;

    pthread_barrier_wait(&all->many);
    code = mgr_stop(all->manager, all->ids[1].text, -1, NULL);
    CHECK(code == MGR_OK || code == MGR_ERR_HANDLE);
    return NULL;
}

static void *starts(void *argument)
{
    shared *all = argument;
    mgr_request_t request = new_request("exec sleep 300");
    int32_t code;

    pthread_barrier_wait(&all->many);
    do
        code = mgr_start(all->manager, request, NULL, NULL);
    while (code == MGR_OK);
    CHECK(code == MGR_ERR_CLOSED || code == MGR_ERR_HANDLE || code == MGR_ERR_LIMIT);
    OK(mgr_request_free(request));
    return NULL;
}

static void *releases(void *argument)
{
    shared *all = argument;
    int32_t code;

    pthread_barrier_wait(&all->many);
    code = mgr_release(all->manager);
    CHECK(code == MGR_OK || code == MGR_ERR_HANDLE);
    return NULL;
}

static void *closes(void *argument)
{
    shared *all = argument;
    int32_t code;

    pthread_barrier_wait(&all->many);
    code = mgr_close(all->manager);
    CHECK(code == MGR_OK || code == MGR_ERR_HANDLE);
    return NULL;
}

static void release_under_calls(void)
{
    static void *(*const bodies[])(void *) = {blocked_wait, blocked_read, blocked_stop, starts, releases, releases, closes};
    pthread_t threads[sizeof bodies / sizeof bodies[0]];
    const int count = sizeof bodies / sizeof bodies[0];
    mgr_config_t config;
    shared all = {.ready = 0};
    mgr_process process = {.struct_size = sizeof process};
    int number;

    OK(mgr_config_new(&config));
    OK(mgr_config_max_processes(config, 20));
    OK(mgr_open(config, &all.manager));
    OK(mgr_config_free(config));
    EQUAL(0, pthread_barrier_init(&all.many, NULL, count));
    all.ids[0] = start(all.manager, "exec sleep 300");
    /* It ends by KILL only. */
    all.ids[1] = start(all.manager, "trap '' TERM; echo x; while :; do sleep 300; done");
    wait_for_output(all.manager, all.ids[1], 1);
    for (number = 0; number < count; number++)
        threads[number] = run_thread(bodies[number], &all);
    for (number = 0; number < count; number++)
        join_thread(threads[number]);
    CODE(MGR_ERR_HANDLE, mgr_release(all.manager));
    CODE(MGR_ERR_HANDLE, mgr_inspect(all.manager, all.ids[0].text, &process));
    EQUAL(0, pthread_barrier_destroy(&all.many));
    /* All children were ended and reaped. */
    EQUAL(-1, waitpid(-1, NULL, WNOHANG));
    EQUAL(ECHILD, errno);
}

static void *wait_in_vain(void *argument)
{
    shared *all = argument;

    mgr_wait(all->manager, all->ids[0].text, -1, NULL);
    return NULL;
}

static void *read_in_vain(void *argument)
{
    shared *all = argument;
    char byte;
    uint64_t cursor = 0;

    mgr_read(all->manager, all->ids[0].text, MGR_STDOUT, &cursor, &byte, 1, NULL, NULL, -1);
    return NULL;
}

/* A thread that is cancelled in a call comes back from it first. */
static void cancelled_callers(void)
{
    shared all = {0};
    pthread_t threads[2];
    int number;

    all.manager = open_manager();
    all.ids[0] = start(all.manager, "exec sleep 300");
    threads[0] = run_thread(wait_in_vain, &all);
    threads[1] = run_thread(read_in_vain, &all);
    for (number = 0; number < 2; number++)
        EQUAL(0, pthread_cancel(threads[number]));
    OK(mgr_signal(all.manager, all.ids[0].text, SIGKILL));
    for (number = 0; number < 2; number++)
        join_thread(threads[number]);
    check_works(all.manager);
    OK(mgr_release(all.manager));
}

int main(int argc, char **argv)
{
    int round;

    cancelled_callers();

    for (round = rounds(argc, argv, 5); round > 0; round--) {
        close_under_load();
        release_under_calls();
        release_under_calls();
    }
    return 0;
}
