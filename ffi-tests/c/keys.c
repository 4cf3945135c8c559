/* Idempotent starts: every function of keys, and every code of it; eight threads with one key; keys of any bytes. */
#include "check.h"

#define LIMIT 16384

#define KEY(text) text, sizeof(text) - 1

static mgr_request_t with_key(const char *command, const void *key, size_t length)
{
    mgr_request_t request = new_request(command);

    OK(mgr_request_key(request, key, length));
    return request;
}

static mgr_id start_request(mgr_t manager, mgr_request_t request, int32_t code)
{
    mgr_error error = {.struct_size = sizeof error};
    mgr_id id = {"untouched"};

    CODE(code, mgr_start(manager, request, &id, &error));
    EQUAL(code < 0 ? code : MGR_OK, error.code < 0 ? error.code : MGR_OK);
    return id;
}

static void attach(void)
{
    mgr_t manager = open_manager(), me, you;
    mgr_request_t request = with_key("exit 3", KEY("k")), other = with_key("exit 4", KEY("k"));
    mgr_process process = {.struct_size = sizeof process};
    mgr_id id, again, found;
    size_t count;

    CODE(MGR_ERR_NOT_FOUND, mgr_find(manager, KEY("k"), &found));
    id = start_request(manager, request, MGR_OK);
    again = start_request(manager, request, MGR_ATTACHED);
    TEXT(id.text, again.text);
    TEXT("untouched", start_request(manager, other, MGR_ERR_CONFLICT).text);
    OK(mgr_find(manager, KEY("k"), &found));
    TEXT(id.text, found.text);
    OK(mgr_find(manager, KEY("k"), NULL));
    EQUAL(3, wait_for(manager, id).exit_code);
    /* It has ended, and is still the one. */
    again = start_request(manager, request, MGR_ATTACHED);
    TEXT(id.text, again.text);

    /* Keys of different owners are different keys. */
    OK(mgr_scope(manager, "me", &me));
    OK(mgr_scope(manager, "you", &you));
    CODE(MGR_ERR_NOT_FOUND, mgr_find(me, KEY("k"), &found));
    again = start_request(me, request, MGR_OK);
    CHECK(strcmp(id.text, again.text) != 0);
    start_request(you, other, MGR_OK);
    OK(mgr_list(manager, NULL, 0, &count));
    EQUAL(3, count);
    OK(mgr_release(me));
    OK(mgr_release(you));

    /* Forgotten, by the id and by the key. */
    OK(mgr_forget(manager, id.text));
    CODE(MGR_ERR_NOT_FOUND, mgr_forget(manager, id.text));
    CODE(MGR_ERR_NOT_FOUND, mgr_forget(manager, "no uuid"));
    CODE(MGR_ERR_NOT_FOUND, mgr_inspect(manager, id.text, &process));
    CODE(MGR_ERR_NOT_FOUND, mgr_forget_key(manager, KEY("k")));
    id = start_request(manager, other, MGR_OK);
    EQUAL(4, wait_for(manager, id).exit_code);
    /* The end of its output may come a moment after its own. */
    while (mgr_forget_key(manager, KEY("k")) != MGR_OK)
        pause_a_moment();
    CODE(MGR_ERR_NOT_FOUND, mgr_find(manager, KEY("k"), &found));

    OK(mgr_request_free(request));
    OK(mgr_request_free(other));
    OK(mgr_release(manager));
}

static void failed_starts(void)
{
    mgr_t manager = open_manager();
    mgr_request_t request = 0;
    mgr_process process = {.struct_size = sizeof process};

    OK(mgr_request_new_program("no-program-of-this-name", &request));
    OK(mgr_request_key(request, KEY("k")));
    start_request(manager, request, MGR_ERR_SPAWN);
    start_request(manager, request, MGR_ERR_SPAWN);
    EQUAL(ENOENT, errno);
    CODE(MGR_ERR_NOT_FOUND, mgr_find(manager, KEY("k"), NULL));
    OK(mgr_cancel(manager, KEY("k"), -1, &process));
    EQUAL(MGR_NEVER_STARTED, process.state);
    TEXT("", process.id.text);
    OK(mgr_forget_key(manager, KEY("k")));
    OK(mgr_request_free(request));
    OK(mgr_release(manager));
}

static void cancels(void)
{
    mgr_config_t config;
    mgr_t manager;
    mgr_request_t request;
    mgr_process process = {.struct_size = sizeof process};
    mgr_id id;

    OK(mgr_config_new(&config));
    OK(mgr_config_stop_grace_ms(config, 50));
    OK(mgr_open(config, &manager));
    OK(mgr_config_free(config));

    /* Before its start. */
    OK(mgr_cancel(manager, KEY("never"), -1, &process));
    EQUAL(MGR_NEVER_STARTED, process.state);
    EQUAL(-1, process.exit_code);
    request = with_key(":", KEY("never"));
    start_request(manager, request, MGR_ERR_CANCELED);
    OK(mgr_forget_key(manager, KEY("never")));
    start_request(manager, request, MGR_OK);
    OK(mgr_request_free(request));

    /* While it runs, and does not want to end. */
    request = with_key("trap '' TERM; echo x; while :; do sleep 300; done", KEY("stubborn"));
    id = start_request(manager, request, MGR_OK);
    wait_for_output(manager, id, 2);
    CODE(MGR_ERR_INVALID, mgr_forget(manager, id.text));
    CODE(MGR_ERR_INVALID, mgr_forget_key(manager, KEY("stubborn")));
    CODE(MGR_TIMEOUT, mgr_cancel(manager, KEY("stubborn"), 0, &process));
    TEXT(id.text, process.id.text);
    OK(mgr_cancel(manager, KEY("stubborn"), -1, &process));
    EQUAL(MGR_SIGNALED, process.state);
    EQUAL(SIGKILL, process.signal);
    EQUAL(MGR_BY_CANCEL, process.ended_by);
    /* It was started, so a start gives it. */
    TEXT(id.text, start_request(manager, request, MGR_ATTACHED).text);
    OK(mgr_request_free(request));

    /* After its end. */
    request = with_key("exit 3", KEY("ended"));
    id = start_request(manager, request, MGR_OK);
    wait_for(manager, id);
    OK(mgr_cancel(manager, KEY("ended"), -1, &process));
    EQUAL(3, process.exit_code);
    EQUAL(MGR_BY_NOBODY, process.ended_by);
    OK(mgr_cancel(manager, KEY("ended"), -1, NULL));
    OK(mgr_request_free(request));

    OK(mgr_close(manager));
    OK(mgr_cancel(manager, KEY("ended"), -1, &process));
    OK(mgr_find(manager, KEY("ended"), &id));
    OK(mgr_release(manager));
}

static void expired(void)
{
    mgr_config_t config;
    mgr_t manager;
    mgr_request_t request = with_key("exit 5", KEY("k"));
    mgr_process process = {.struct_size = sizeof process};
    uint64_t cursor = 0;
    char text[8];
    size_t length;
    mgr_id id, found;

    OK(mgr_config_new(&config));
    OK(mgr_config_max_ended(config, 0));
    OK(mgr_open(config, &manager));
    OK(mgr_config_free(config));
    id = start_request(manager, request, MGR_OK);
    while (mgr_inspect(manager, id.text, &process) == MGR_OK)
        pause_a_moment();
    process.exit_code = -7;
    CODE(MGR_ERR_EXPIRED, mgr_inspect(manager, id.text, &process));
    EQUAL(5, process.exit_code);
    process.exit_code = -7;
    CODE(MGR_ERR_EXPIRED, mgr_wait(manager, id.text, -1, &process));
    EQUAL(5, process.exit_code);
    start_request(manager, request, MGR_ERR_EXPIRED);
    CODE(MGR_ERR_EXPIRED, mgr_read(manager, id.text, MGR_STDOUT, &cursor, text, sizeof text, &length, NULL, -1));
    CODE(MGR_ERR_EXPIRED, mgr_output(manager, id.text, MGR_STDOUT, text, sizeof text, &length, NULL));
    OK(mgr_find(manager, KEY("k"), &found));
    TEXT(id.text, found.text);
    process.exit_code = -7;
    OK(mgr_cancel(manager, KEY("k"), -1, &process));
    EQUAL(5, process.exit_code);
    OK(mgr_forget_key(manager, KEY("k")));
    CODE(MGR_ERR_NOT_FOUND, mgr_inspect(manager, id.text, &process));
    OK(mgr_request_free(request));
    OK(mgr_release(manager));
}

/* Many that end, and are dropped, as soon as they are started: each is remembered. */
static void expired_at_once(int times)
{
    mgr_config_t config;
    mgr_t manager;
    mgr_request_t request;
    mgr_process process = {.struct_size = sizeof process};
    int32_t code;
    mgr_id id;
    int number;

    OK(mgr_config_new(&config));
    OK(mgr_config_max_ended(config, 0));
    OK(mgr_open(config, &manager));
    OK(mgr_config_free(config));
    for (number = 0; number < times; number++) {
        request = with_key("exit 5", &number, sizeof number);
        id = start_request(manager, request, MGR_OK);
        while ((code = mgr_inspect(manager, id.text, &process)) == MGR_OK)
            pause_a_moment();
        EQUAL(MGR_ERR_EXPIRED, code);
        start_request(manager, request, MGR_ERR_EXPIRED);
        OK(mgr_request_free(request));
    }
    OK(mgr_release(manager));
}

static void arguments(void)
{
    static const char bytes[] = "\0\xff\x80 key\n";
    mgr_t manager = open_manager();
    mgr_request_t request = new_request(":");
    mgr_process process = {.struct_size = sizeof process};
    char large[256];
    mgr_id id = {"untouched"}, instance, other_instance;
    mgr_t other = open_manager();

    memset(large, 'k', sizeof large);
    /* Lengths: none, the longest, one more. */
    OK(mgr_request_key(request, "", 0));
    start_request(manager, request, MGR_ERR_INVALID);
    CODE(MGR_ERR_INVALID, mgr_cancel(manager, "", 0, -1, &process));
    CODE(MGR_ERR_INVALID, mgr_find(manager, NULL, 0, &id));
    CODE(MGR_ERR_INVALID, mgr_forget_key(manager, NULL, 0));
    OK(mgr_request_key(request, large, 256));
    start_request(manager, request, MGR_ERR_INVALID);
    CODE(MGR_ERR_INVALID, mgr_cancel(manager, large, 256, -1, &process));
    CODE(MGR_ERR_INVALID, mgr_find(manager, large, 256, &id));
    CODE(MGR_ERR_INVALID, mgr_forget_key(manager, large, 256));
    OK(mgr_request_key(request, large, 255));
    start_request(manager, request, MGR_OK);
    /* Any bytes; a NUL is one of them. */
    OK(mgr_request_key(request, KEY(bytes)));
    id = start_request(manager, request, MGR_OK);
    CODE(MGR_ERR_NOT_FOUND, mgr_find(manager, bytes, 1, NULL));
    OK(mgr_find(manager, KEY(bytes), &instance));
    TEXT(id.text, instance.text);

    /* NULL. */
    CODE(MGR_ERR_INVALID, mgr_request_key(request, NULL, 1));
    CODE(MGR_ERR_INVALID, mgr_request_key(request, NULL, SIZE_MAX));
    CODE(MGR_ERR_INVALID, mgr_request_id(request, NULL));
    CODE(MGR_ERR_INVALID, mgr_cancel(manager, NULL, 1, -1, &process));
    CODE(MGR_ERR_INVALID, mgr_find(manager, NULL, 1, &id));
    CODE(MGR_ERR_INVALID, mgr_forget(manager, NULL));
    CODE(MGR_ERR_INVALID, mgr_forget_key(manager, NULL, 1));
    CODE(MGR_ERR_INVALID, mgr_instance(manager, NULL));

    /* A struct without its size. */
    process.struct_size = sizeof process - 1;
    CODE(MGR_ERR_INVALID, mgr_cancel(manager, KEY("unset"), -1, &process));
    process.struct_size = sizeof process;
    CODE(MGR_ERR_NOT_FOUND, mgr_forget_key(manager, KEY("unset")));

    /* Handles. */
    CODE(MGR_ERR_HANDLE, mgr_request_key(manager, KEY("k")));
    CODE(MGR_ERR_HANDLE, mgr_request_id(manager, UNKNOWN_ID));
    CODE(MGR_ERR_HANDLE, mgr_request_start_timeout_ms(manager, 1));
    CODE(MGR_ERR_HANDLE, mgr_cancel(request, KEY("k"), -1, &process));
    CODE(MGR_ERR_HANDLE, mgr_find(request, KEY("k"), &id));
    CODE(MGR_ERR_HANDLE, mgr_forget(request, UNKNOWN_ID));
    CODE(MGR_ERR_HANDLE, mgr_forget_key(request, KEY("k")));
    CODE(MGR_ERR_HANDLE, mgr_instance(request, &instance));

    /* The name of the manager, which is that of its scopes, and of no other. */
    OK(mgr_instance(manager, &instance));
    OK(mgr_instance(other, &other_instance));
    EQUAL(36, strlen(instance.text));
    CHECK(strcmp(instance.text, other_instance.text) != 0);
    OK(mgr_release(other));
    OK(mgr_scope(manager, "me", &other));
    OK(mgr_instance(other, &other_instance));
    TEXT(instance.text, other_instance.text);
    OK(mgr_release(other));
    OK(mgr_request_free(request));
    OK(mgr_release(manager));
}

static void own_ids(void)
{
    static const char own[] = "12345678-1234-4234-9234-123456789abc";
    mgr_t manager = open_manager();
    mgr_request_t request = new_request(":");

    CODE(MGR_ERR_INVALID, mgr_request_id(request, ""));
    CODE(MGR_ERR_INVALID, mgr_request_id(request, "no uuid"));
    CODE(MGR_ERR_INVALID, mgr_request_id(request, "12345678-1234-4234-9234-123456789abcd"));
    CODE(MGR_ERR_INVALID, mgr_request_id(request, "\xff"));
    OK(mgr_request_id(request, own));
    TEXT(own, start_request(manager, request, MGR_OK).text);
    start_request(manager, request, MGR_ERR_CONFLICT);
    OK(mgr_request_free(request));
    /* With a key as well, the same request is the same process. */
    request = with_key(":", KEY("k"));
    OK(mgr_request_id(request, "87654321-1234-4234-9234-123456789abc"));
    start_request(manager, request, MGR_OK);
    start_request(manager, request, MGR_ATTACHED);
    OK(mgr_request_id(request, own));
    start_request(manager, request, MGR_ERR_CONFLICT);
    OK(mgr_request_free(request));
    OK(mgr_release(manager));
}

static void full(void)
{
    mgr_t manager = open_manager();
    mgr_request_t request;
    int number;

    for (number = 0; number < LIMIT; number++)
        OK(mgr_cancel(manager, &number, sizeof number, 0, NULL));
    request = with_key(":", KEY("one more"));
    start_request(manager, request, MGR_ERR_LIMIT);
    CODE(MGR_ERR_LIMIT, mgr_cancel(manager, KEY("one more"), 0, NULL));
    /* Those that are known are answered, and starts without a key go on. */
    number = 7;
    OK(mgr_cancel(manager, &number, sizeof number, 0, NULL));
    check_works(manager);
    OK(mgr_forget_key(manager, &number, sizeof number));
    start_request(manager, request, MGR_OK);
    OK(mgr_request_free(request));
    OK(mgr_release(manager));
}

typedef struct shared {
    mgr_t manager;
    mgr_request_t request;
    pthread_barrier_t many;
    pthread_mutex_t lock;
    mgr_id id;
    int started, attached;
} shared;

static void *start_one_key(void *argument)
{
    shared *all = argument;
    int32_t code;
    mgr_id id;

    pthread_barrier_wait(&all->many);
    code = mgr_start(all->manager, all->request, &id, NULL);
    CHECK(code == MGR_OK || code == MGR_ATTACHED);
    EQUAL(0, pthread_mutex_lock(&all->lock));
    *(code == MGR_OK ? &all->started : &all->attached) += 1;
    if (all->id.text[0] == 0)
        all->id = id;
    TEXT(all->id.text, id.text);
    EQUAL(0, pthread_mutex_unlock(&all->lock));
    return NULL;
}

static void one_key_for_all(int times)
{
    mgr_t manager = open_manager();
    pthread_t threads[8];
    size_t number, count;
    int round;

    for (round = 0; round < times; round++) {
        shared all = {.manager = manager};

        EQUAL(0, pthread_mutex_init(&all.lock, NULL));
        EQUAL(0, pthread_barrier_init(&all.many, NULL, 8));
        all.request = with_key(":", &round, sizeof round);
        OK(mgr_request_start_timeout_ms(all.request, -1));
        for (number = 0; number < 8; number++)
            threads[number] = run_thread(start_one_key, &all);
        for (number = 0; number < 8; number++)
            join_thread(threads[number]);
        EQUAL(1, all.started);
        EQUAL(7, all.attached);
        OK(mgr_request_free(all.request));
        EQUAL(0, pthread_barrier_destroy(&all.many));
        EQUAL(0, pthread_mutex_destroy(&all.lock));
    }
    OK(mgr_list(manager, NULL, 0, &count));
    EQUAL(times, count);
    OK(mgr_release(manager));
}

int main(int argc, char **argv)
{
    const int times = rounds(argc, argv, 25);

    attach();
    failed_starts();
    cancels();
    expired();
    arguments();
    own_ids();
    /* Half a minute there. */
    if (!under_valgrind())
        full();
    one_key_for_all(times);
    expired_at_once(12 * times);
    return 0;
}
