/*
 * Every function with random arguments - handles, ids, sizes, texts, timeouts, NULLs - from several threads, for as many
 * seconds as the first argument says (3). It must not crash, and a manager that is used before and after must work. The
 * second argument is the seed; without one it is the time, and it is printed.
 *
 * Two things stay within reason: a call never waits for ever on its own, and few processes live at once.
 */
#include "check.h"

#include <dirent.h>
#include <stdatomic.h>

#define THREADS 4
#define HANDLES 32
#define MANAGERS 4
#define IDS 64

#define COOKIE "PROCMGR_RANDOM_TEST"

static char cookie[32];

/* Handles of all kinds, current and stale. */
static _Atomic uint64_t handles[HANDLES];
static _Atomic uint64_t managers[MANAGERS];
static mgr_id ids[IDS];
static pthread_mutex_t ids_lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_int stop;
static atomic_ulong calls;

static __thread uint64_t state;

static uint64_t any(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state * 0x2545f4914f6cdd1d;
}

static uint64_t below(uint64_t end)
{
    return (any() >> 11) % end;
}

static int one_in(uint64_t count)
{
    return below(count) == 0;
}

static uint64_t a_handle(void)
{
    switch (below(16)) {
    case 0:
        return any();
    case 1:
        return below(100);
    case 2:
    case 3:
    case 4:
    case 5:
        return atomic_load(&managers[below(MANAGERS)]);
    default:
        return atomic_load(&handles[below(HANDLES)]);
    }
}

static uint64_t a_manager(void)
{
    return one_in(8) ? a_handle() : atomic_load(&managers[below(MANAGERS)]);
}

static void keep(uint64_t handle)
{
    atomic_store(&handles[below(HANDLES)], handle);
}

static const char *an_id(mgr_id *place)
{
    if (one_in(50))
        return NULL;
    if (one_in(20)) {
        size_t index;

        for (index = 0; index < sizeof place->text - 1; index++)
            place->text[index] = (char)any();
        place->text[below(sizeof place->text)] = 0;
        place->text[sizeof place->text - 1] = 0;
        return place->text;
    }
    pthread_mutex_lock(&ids_lock);
    *place = ids[below(IDS)];
    pthread_mutex_unlock(&ids_lock);
    return place->text;
}

static const char *a_text(void)
{
    static const char *const texts[] = {"",  "x",         "A=B",   "\xff\xfe", "/",           "/nowhere", "PATH",
                                        "V", "a b\nc\td", "/tmp",  "HOME",     "/dev/null",   "me",       "you",
                                        "1", "\x80",      "sh",    "-c",       "PROCMGR_ID", "\xf0\x9f\x8d\x80"};

    return one_in(30) ? NULL : texts[below(sizeof texts / sizeof texts[0])];
}

static const char *a_command(void)
{
    static const char *const commands[] = {
        ":",
        "exit 3",
        "echo hello",
        "echo out; echo err >&2",
        "printf '\\377\\376\\000'",
        "head -c 100000 /dev/zero",
        "exec sleep 300",
        "trap '' TERM; echo x; sleep 300; sleep 300",
        "kill -9 $$",
        "cat",
        "exec >&- 2>&-; exec sleep 300",
        "while echo x; do sleep 0.01; done",
        "no-command-of-this-name",
        "sleep 0.02; echo late",
        "sleep 300 & echo left",
    };

    /* The last one leaves something behind. */
    const size_t count = sizeof commands / sizeof commands[0] - (survivors_are_found() ? 0 : 1);

    return one_in(30) ? a_text() : commands[below(count)];
}

static int64_t a_number(void)
{
    static const int64_t numbers[] = {0, 1, -1, 2, 4, 255, 1000, INT32_MAX, INT64_MAX, INT64_MIN, UINT32_MAX};

    return one_in(4) ? (int64_t)any() : numbers[below(sizeof numbers / sizeof numbers[0])];
}

/* Never long: a call without a timeout is ended only by another thread. */
static int64_t a_timeout(void)
{
    static const int64_t timeouts[] = {0, 0, 0, 1, 2, 5, 20};

    return timeouts[below(sizeof timeouts / sizeof timeouts[0])];
}

static int32_t a_stream(void)
{
    static const int32_t streams[] = {0, 0, 0, 1, 256, 512, 768, 769, 2, -1, INT32_MIN, INT32_MAX};

    return streams[below(sizeof streams / sizeof streams[0])];
}

static int32_t a_signal(void)
{
    static const int32_t signals[] = {SIGTERM, SIGKILL, SIGINT, SIGSTOP, SIGCONT, SIGUSR1, SIGHUP, SIGQUIT, 0, -1, 99};

    return one_in(10) ? (int32_t)any() : signals[below(sizeof signals / sizeof signals[0])];
}

/* One of a few keys, with its length; what the length says must be readable. */
static char key_bytes[300] = "key with \xff and \0 in it";

static const void *a_key(void)
{
    return one_in(30) ? NULL : key_bytes + below(4);
}

static size_t a_key_length(void)
{
    return one_in(10) ? below(sizeof key_bytes - 4) : 1 + below(3);
}

/* The size of a struct that is this large, or a wrong one. */
static size_t a_size(size_t size)
{
    switch (below(12)) {
    case 0:
        return 0;
    case 1:
        return below(size);
    case 2:
        return size + below(1000);
    case 3:
        return SIZE_MAX;
    default:
        return size;
    }
}

static void configure(mgr_config_t config)
{
    switch (below(16)) {
    case 14:
        mgr_config_keep_keyed_ms(config, a_number());
        break;
    case 13:
        mgr_config_start_method(config, (int32_t)below(4));
        break;
    case 0:
        mgr_config_shell(config, a_text());
        break;
    case 1:
        mgr_config_directory(config, a_text());
        break;
    case 2:
        mgr_config_clear_environment(config);
        break;
    case 3:
        mgr_config_variable(config, a_text(), a_text());
        break;
    case 4:
        mgr_config_owner_variable(config, a_text());
        break;
    case 5:
        mgr_config_head_bytes(config, (size_t)a_number());
        break;
    case 6:
        mgr_config_tail_bytes(config, (size_t)a_number());
        break;
    case 7:
        mgr_config_max_line_bytes(config, (size_t)a_number());
        break;
    case 8:
        mgr_config_max_processes(config, below(12));
        break;
    case 9:
        mgr_config_max_ended(config, (size_t)a_number());
        break;
    case 10:
        mgr_config_keep_ended_ms(config, a_number());
        break;
    case 11:
        mgr_config_stop_grace_ms(config, a_timeout());
        break;
    case 12:
        mgr_config_close_grace_ms(config, a_timeout());
        break;
    default:
        mgr_config_free(config);
    }
}

static void change(mgr_request_t request)
{
    mgr_id memory;

    switch (below(12)) {
    case 9:
        mgr_request_key(request, a_key(), a_key_length());
        break;
    case 10:
        mgr_request_id(request, an_id(&memory));
        break;
    case 11:
        mgr_request_start_timeout_ms(request, a_timeout());
        break;
    case 0:
        mgr_request_argument(request, a_text());
        break;
    case 1:
        mgr_request_directory(request, a_text());
        break;
    case 2:
        mgr_request_variable(request, a_text(), a_text());
        break;
    case 3:
        mgr_request_owner(request, a_text());
        break;
    case 4:
        mgr_request_background(request, (int32_t)a_number());
        break;
    case 5:
        mgr_request_time_limit_ms(request, one_in(2) ? a_timeout() : a_number());
        break;
    case 6:
        mgr_request_separate_streams(request, (int32_t)below(3));
        break;
    case 7:
        mgr_request_lossless(request, (int32_t)below(3));
        break;
    default:
        mgr_request_free(request);
    }
}

/* A new manager in the place of another, which is closed. */
static void replace_manager(void)
{
    mgr_config_t config = 0;
    mgr_t manager = 0, old;
    int32_t code;

    mgr_config_new(&config);
    mgr_config_max_processes(config, 8);
    if (one_in(2))
        keep(config);
    while (one_in(2))
        configure(config);
    code = mgr_open(config, one_in(20) ? NULL : &manager);
    CHECK((code == MGR_OK) == (manager != 0));
    if (one_in(2))
        mgr_config_free(config);
    if (manager != 0) {
        old = atomic_exchange(&managers[below(MANAGERS)], manager);
        if (one_in(2))
            mgr_close(old);
        mgr_release(old);
    }
}

static void new_handle(void)
{
    uint64_t handle = 0, old;

    switch (below(5)) {
    case 0:
        mgr_config_new(&handle);
        break;
    case 1:
        mgr_request_new(a_command(), one_in(30) ? NULL : &handle);
        break;
    case 2:
        mgr_request_new_program(a_text(), &handle);
        break;
    case 3:
        mgr_scope(a_manager(), a_text(), &handle);
        break;
    default:
        mgr_events_open(a_manager(), &handle);
    }
    old = atomic_exchange(&handles[below(HANDLES)], handle);
    /* So that there are not more and more; often it is of another kind, or gone. */
    if (one_in(10)) {
        mgr_release(old);
        mgr_request_free(old);
        mgr_config_free(old);
        mgr_events_release(old);
    }
}

static void start_one(void)
{
    struct {
        mgr_error error;
        unsigned char more[1000];
    } place;
    mgr_request_t request = a_handle();
    mgr_id id;
    int own = one_in(2);
    int32_t code;

    if (own && mgr_request_new(a_command(), &request) != MGR_OK)
        return;
    while (one_in(3))
        change(request);
    if (one_in(4))
        mgr_request_key(request, a_key(), a_key_length());
    place.error.struct_size = a_size(sizeof place.error);
    code = mgr_start(a_manager(), request, &id, one_in(3) ? NULL : &place.error);
    if (code == MGR_OK || code == MGR_ATTACHED) {
        pthread_mutex_lock(&ids_lock);
        ids[below(IDS)] = id;
        pthread_mutex_unlock(&ids_lock);
    }
    if (own)
        mgr_request_free(request);
}

static void use_process(void)
{
    struct {
        mgr_process processes[8];
        unsigned char more[8 * 1000];
    } place;
    mgr_truncation truncation[40];
    mgr_process *process = one_in(10) ? NULL : &place.processes[0];
    uint64_t cursor = one_in(2) ? below(20000) : any(), lost;
    static __thread char buffer[1 << 16];
    size_t capacity = one_in(3) ? below(8) : below(sizeof buffer), length;
    char *bytes = one_in(20) ? NULL : buffer;
    uint64_t *where = one_in(30) ? NULL : &cursor;
    size_t *how_long = one_in(20) ? NULL : &length;
    mgr_t manager = a_manager();
    mgr_id memory;
    const char *id = an_id(&memory);

    place.processes[0].struct_size = a_size(sizeof(mgr_process));
    truncation[0].struct_size = a_size(sizeof(mgr_truncation));
    switch (below(20)) {
    case 12:
        mgr_forget(manager, id);
        break;
    case 13:
        mgr_instance(manager, one_in(10) ? NULL : &memory);
        break;
    case 14:
        mgr_cancel(manager, a_key(), a_key_length(), a_timeout(), process);
        break;
    case 15:
        mgr_find(manager, a_key(), a_key_length(), one_in(10) ? NULL : &memory);
        break;
    case 17:
        /* It looks through all processes. */
        if (one_in(20))
            mgr_sweep_orphans(manager, how_long);
        break;
    case 16:
        mgr_forget_key(manager, a_key(), a_key_length());
        break;
    case 0: {
        size_t size = place.processes[0].struct_size;

        /* What the length says must be readable. */
        mgr_list(manager, process, size == 0 || size > sizeof place / 8 ? below(2) : below(8), how_long);
        break;
    }
    case 1:
        mgr_inspect(manager, id, process);
        break;
    case 2:
        mgr_wait(manager, id, a_timeout(), process);
        break;
    case 3:
    case 4:
        mgr_read(manager, id, a_stream(), where, bytes, capacity, how_long, one_in(2) ? &lost : NULL, a_timeout());
        break;
    case 5:
        mgr_output(manager, id, a_stream(), bytes, capacity, how_long, one_in(2) ? NULL : truncation);
        break;
    case 6:
        mgr_command(manager, id, bytes, capacity, how_long);
        break;
    case 7:
        mgr_directory(manager, id, bytes, capacity, how_long);
        break;
    case 8:
        mgr_owner(manager, id, bytes, capacity, how_long);
        break;
    case 9:
        mgr_signal(manager, id, a_signal());
        break;
    case 10:
        mgr_stop(manager, id, a_timeout(), process);
        break;
    default:
        mgr_stop_begin(manager, id, a_timeout());
    }
}

static void use_events(void)
{
    struct {
        mgr_event event;
        unsigned char more[1000];
    } place;
    mgr_events_t events = a_handle();
    int32_t descriptor;
    mgr_id memory;

    place.event.struct_size = a_size(sizeof place.event);
    switch (below(8)) {
    case 0:
        mgr_events_descriptor(events, one_in(10) ? NULL : &descriptor);
        break;
    case 1:
        mgr_events_release(events);
        break;
    case 2:
    case 3:
    case 4:
        mgr_events_watch(events, a_manager(), an_id(&memory), a_stream(), one_in(2) ? below(100) : any());
        break;
    default:
        mgr_events_next(events, a_timeout(), one_in(10) ? NULL : &place.event);
    }
}

static void *play(void *seed)
{
    state = *(const uint64_t *)seed;
    while (!atomic_load(&stop)) {
        switch (below(64)) {
        case 0:
            replace_manager();
            break;
        case 1:
            mgr_close(one_in(4) ? a_manager() : a_handle());
            break;
        case 2:
            /* Of a scope mostly; a manager has to live for a while. */
            mgr_release(one_in(8) ? a_manager() : atomic_load(&handles[below(HANDLES)]));
            break;
        case 3:
        case 4:
            CHECK(mgr_strerror((int32_t)a_number()) != NULL);
            CHECK(mgr_version() != NULL && mgr_version_number() == MGR_VERSION_NUMBER);
            break;
        case 5:
        case 6:
        case 7:
            configure(a_handle());
            break;
        case 8:
        case 9:
        case 10:
            change(a_handle());
            break;
        case 11:
        case 12:
        case 13:
        case 14:
            new_handle();
            break;
        case 15:
        case 16:
        case 17:
        case 18:
        case 19:
            start_one();
            break;
        case 20:
        case 21:
        case 22:
        case 23:
        case 24:
        case 25:
            use_events();
            break;
        default:
            use_process();
        }
        atomic_fetch_add(&calls, 1);
    }
    return NULL;
}

/* How many processes have the cookie in their environment. */
static int count_children(void)
{
    static char environment[1 << 18];
    char name[300], wanted[64];
    DIR *all = opendir("/proc");
    struct dirent *entry;
    size_t length;
    FILE *file;
    int count = 0;

    CHECK(all != NULL);
    length = (size_t)snprintf(wanted, sizeof wanted, "%s=%s", COOKIE, cookie) + 1;
    while ((entry = readdir(all)) != NULL) {
        size_t size, at;

        if (entry->d_name[0] < '0' || entry->d_name[0] > '9' || atol(entry->d_name) == (long)getpid())
            continue;
        snprintf(name, sizeof name, "/proc/%s/environ", entry->d_name);
        file = fopen(name, "r");
        if (file == NULL)
            continue;
        size = fread(environment, 1, sizeof environment, file);
        fclose(file);
        for (at = 0; at + length <= size; at++)
            if (memcmp(environment + at, wanted, length) == 0) {
                fprintf(stderr, "process %s is left\n", entry->d_name);
                count++;
                break;
            }
    }
    closedir(all);
    return count;
}

int main(int argc, char **argv)
{
    const int64_t end = now_ms() + 1000 * rounds(argc, argv, 3);
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : (uint64_t)time(NULL) * 1000003 + (uint64_t)getpid();
    uint64_t seeds[THREADS];
    pthread_t threads[THREADS];
    mgr_t witness;
    mgr_id before;
    mgr_process process = {.struct_size = sizeof process};
    uint64_t handle, last_handle;
    int64_t last;
    size_t index;
    unsigned long seen = 0;

    /* Every child but those without this environment can be told from others. */
    snprintf(cookie, sizeof cookie, "%ld", (long)getpid());
    EQUAL(0, setenv(COOKIE, cookie, 1));
    /* The witness gets a handle that no thread guesses by chance. */
    for (index = 0; index < 200; index++)
        OK(mgr_request_free(new_request(":")));
    witness = open_manager();
    before = start(witness, "echo before; exec sleep 300");

    /* Seen when something goes wrong. */
    printf("seed %llu\n", (unsigned long long)seed);
    fflush(stdout);
    for (index = 0; index < THREADS; index++) {
        seeds[index] = seed + 0x9e3779b97f4a7c15 * (index + 1);
        if (seeds[index] == 0)
            seeds[index] = 1;
        threads[index] = run_thread(play, &seeds[index]);
    }
    for (last = now_ms(); now_ms() < end;) {
        pause_a_moment();
        /* A stop takes 10 seconds at most. */
        if (atomic_load(&calls) != seen) {
            seen = atomic_load(&calls);
            last = now_ms();
        }
        CHECK(now_ms() - last < PATIENCE_MS);
    }
    atomic_store(&stop, 1);
    for (index = 0; index < THREADS; index++)
        join_thread(threads[index]);
    printf("%lu calls\n", (unsigned long)atomic_load(&calls));

    OK(mgr_inspect(witness, before.text, &process));
    EQUAL(MGR_RUNNING, process.state);
    check_works(witness);
    OK(mgr_release(witness));

    /* Everything that is left, managers at last, so that none is left without a way to it. */
    last_handle = new_request(":");
    for (handle = 1; handle <= last_handle; handle++) {
        mgr_events_release(handle);
        mgr_request_free(handle);
        mgr_config_free(handle);
    }
    for (handle = 1; handle <= last_handle; handle++)
        mgr_release(handle);
    if (survivors_are_found())
        EQUAL(0, count_children());
    EQUAL(-1, waitpid(-1, NULL, WNOHANG));
    EQUAL(ECHILD, errno);
    return 0;
}
