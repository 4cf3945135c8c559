/*
 * Every function, and every code that it can answer, but for two that need a kernel that hangs (MGR_ERR_IO of
 * mgr_close, MGR_TIMEOUT of mgr_stop) and a defect of the library (MGR_ERR_PANIC). MGR_ERR_FORKED is in forks.c,
 * NULL for each pointer in null.c.
 */
#include "check.h"

#include <sys/resource.h>
#include <sys/stat.h>

/* Never a handle of any kind here. */
#define NO_HANDLE 999999999u

static void about_the_library(void)
{
    const char *unknown = mgr_strerror(1234567);
    int32_t code, other;

    TEXT(MGR_VERSION, mgr_version());
    EQUAL(MGR_VERSION_NUMBER, mgr_version_number());
    for (code = MGR_ERR_PANIC; code <= MGR_ENDED; code++) {
        CHECK(strlen(mgr_strerror(code)) > 0);
        CHECK(strcmp(mgr_strerror(code), unknown) != 0);
        for (other = MGR_ERR_PANIC; other < code; other++)
            CHECK(strcmp(mgr_strerror(code), mgr_strerror(other)) != 0);
    }
    TEXT(unknown, mgr_strerror(INT32_MIN));
    TEXT(unknown, mgr_strerror(INT32_MAX));
}

static mgr_config_t new_config(void)
{
    mgr_config_t config = 0;

    OK(mgr_config_new(&config));
    CHECK(config != 0);
    return config;
}

static void configs(void)
{
    mgr_config_t config = new_config();
    mgr_t manager = 0;
    mgr_request_t request;
    int32_t method;
    char text[256];
    mgr_id id;

    /* Handles that are none. */
    CODE(MGR_ERR_HANDLE, mgr_config_free(NO_HANDLE));
    CODE(MGR_ERR_HANDLE, mgr_config_shell(NO_HANDLE, "/bin/sh"));
    CODE(MGR_ERR_HANDLE, mgr_config_directory(NO_HANDLE, "/"));
    CODE(MGR_ERR_HANDLE, mgr_config_clear_environment(NO_HANDLE));
    CODE(MGR_ERR_HANDLE, mgr_config_variable(NO_HANDLE, "A", "1"));
    CODE(MGR_ERR_HANDLE, mgr_config_owner_variable(NO_HANDLE, "A"));
    CODE(MGR_ERR_HANDLE, mgr_config_start_method(NO_HANDLE, MGR_START_AUTOMATIC));
    CODE(MGR_ERR_HANDLE, mgr_config_head_bytes(NO_HANDLE, 1));
    CODE(MGR_ERR_HANDLE, mgr_config_tail_bytes(NO_HANDLE, 1));
    CODE(MGR_ERR_HANDLE, mgr_config_max_line_bytes(NO_HANDLE, 1));
    CODE(MGR_ERR_HANDLE, mgr_config_max_processes(NO_HANDLE, 1));
    CODE(MGR_ERR_HANDLE, mgr_config_max_ended(NO_HANDLE, 1));
    CODE(MGR_ERR_HANDLE, mgr_config_keep_ended_ms(NO_HANDLE, 1));
    CODE(MGR_ERR_HANDLE, mgr_config_keep_keyed_ms(NO_HANDLE, 1));
    CODE(MGR_ERR_HANDLE, mgr_config_stop_grace_ms(NO_HANDLE, 1));
    CODE(MGR_ERR_HANDLE, mgr_config_close_grace_ms(NO_HANDLE, 1));
    CODE(MGR_ERR_HANDLE, mgr_open(NO_HANDLE, &manager));

    /* Their effects. */
    OK(mgr_config_directory(config, "/"));
    OK(mgr_config_clear_environment(config));
    OK(mgr_config_variable(config, "PATH", "/usr/bin:/bin"));
    OK(mgr_config_variable(config, "A", "first"));
    OK(mgr_config_variable(config, "A", "second"));
    OK(mgr_config_owner_variable(config, "OWNER"));
    OK(mgr_config_head_bytes(config, 4));
    OK(mgr_config_tail_bytes(config, 4));
    OK(mgr_config_max_line_bytes(config, 0));
    OK(mgr_config_max_ended(config, 100));
    OK(mgr_config_keep_ended_ms(config, -1));
    OK(mgr_config_keep_keyed_ms(config, -1));
    OK(mgr_config_keep_keyed_ms(config, -1));
    OK(mgr_config_stop_grace_ms(config, 50));
    OK(mgr_config_close_grace_ms(config, 10));
    OK(mgr_open(config, &manager));
    /* A manager keeps what it was opened with. */
    OK(mgr_config_tail_bytes(config, 0));
    OK(mgr_config_free(config));
    CODE(MGR_ERR_HANDLE, mgr_config_free(config));

    output_of(manager, "echo 123456789", text, sizeof text);
    TEXT("1234\n\n... [omitted 2 bytes] ...\n\n789\n", text);
    EQUAL(0, output_of(manager, "test \"$PWD $A $HOME\" = '/ second '", text, sizeof text));
    request = new_request("test \"$OWNER\" = me");
    OK(mgr_request_owner(request, "me"));
    OK(mgr_start(manager, request, &id, NULL));
    EQUAL(0, wait_for(manager, id).exit_code);
    OK(mgr_request_free(request));
    /* The time limit, with the grace period after it. */
    request = new_request("trap '' TERM; echo x; while :; do sleep 300; done");
    OK(mgr_request_time_limit_ms(request, 300));
    OK(mgr_start(manager, request, &id, NULL));
    EQUAL(MGR_BY_LIMIT, wait_for(manager, id).ended_by);
    EQUAL(SIGKILL, inspect(manager, id).signal);
    OK(mgr_request_free(request));
    OK(mgr_release(manager));

    /* The limit of live processes. */
    config = new_config();
    OK(mgr_config_max_processes(config, 1));
    OK(mgr_open(config, &manager));
    request = new_request("exec sleep 300");
    OK(mgr_start(manager, request, &id, NULL));
    CODE(MGR_ERR_LIMIT, mgr_start(manager, request, NULL, NULL));
    EQUAL(0, errno);
    OK(mgr_stop(manager, id.text, 0, NULL));
    OK(mgr_request_free(request));
    OK(mgr_release(manager));
    OK(mgr_config_free(config));

    /* Each way to start. */
    config = new_config();
    CODE(MGR_ERR_INVALID, mgr_config_start_method(config, -1));
    CODE(MGR_ERR_INVALID, mgr_config_start_method(config, MGR_START_STD + 1));
    CODE(MGR_ERR_UNSUPPORTED, mgr_config_start_method(config, MGR_START_POSIX_SPAWN));
    for (method = MGR_START_AUTOMATIC; method <= MGR_START_STD; method += MGR_START_STD - MGR_START_AUTOMATIC) {
        OK(mgr_config_start_method(config, method));
        OK(mgr_open(config, &manager));
        check_works(manager);
        OK(mgr_release(manager));
    }
    OK(mgr_config_free(config));

    /* Each option that a manager refuses. */
#define REFUSED(set)                                                                                                   \
    do {                                                                                                               \
        config = new_config();                                                                                         \
        OK(set);                                                                                                       \
        manager = 42;                                                                                                  \
        CODE(MGR_ERR_INVALID, mgr_open(config, &manager));                                                             \
        EQUAL(0, errno);                                                                                               \
        EQUAL(42, manager);                                                                                            \
        OK(mgr_config_free(config));                                                                                   \
    } while (0)
    REFUSED(mgr_config_shell(config, ""));
    REFUSED(mgr_config_directory(config, ""));
    REFUSED(mgr_config_variable(config, "", "x"));
    REFUSED(mgr_config_variable(config, "A=B", "x"));
    REFUSED(mgr_config_owner_variable(config, ""));
    REFUSED(mgr_config_owner_variable(config, "A=B"));
    REFUSED(mgr_config_head_bytes(config, ((size_t)1 << 30) + 1));
    REFUSED(mgr_config_head_bytes(config, SIZE_MAX));
    REFUSED(mgr_config_tail_bytes(config, 0));
    REFUSED(mgr_config_tail_bytes(config, SIZE_MAX));
    REFUSED(mgr_config_max_processes(config, 0));

    /* The extremes of what it takes. */
    config = new_config();
    OK(mgr_config_shell(config, "/bin/echo"));
    OK(mgr_config_head_bytes(config, 0));
    OK(mgr_config_tail_bytes(config, (size_t)1 << 30));
    OK(mgr_config_max_line_bytes(config, SIZE_MAX));
    OK(mgr_config_max_processes(config, SIZE_MAX));
    OK(mgr_config_max_ended(config, SIZE_MAX));
    OK(mgr_config_keep_ended_ms(config, INT64_MAX));
    OK(mgr_config_keep_keyed_ms(config, INT64_MAX));
    OK(mgr_config_stop_grace_ms(config, INT64_MAX));
    OK(mgr_config_close_grace_ms(config, 0));
    OK(mgr_open(config, &manager));
    EQUAL(0, output_of(manager, "the command", text, sizeof text));
    TEXT("-c the command\n", text);
    OK(mgr_release(manager));

    /* What has ended is dropped at once if none may be kept. */
    OK(mgr_config_max_ended(config, 0));
    OK(mgr_config_keep_ended_ms(config, INT64_MIN));
    OK(mgr_config_keep_keyed_ms(config, INT64_MIN));
    OK(mgr_open(config, &manager));
    id = start(manager, "x");
    while (mgr_wait(manager, id.text, PATIENCE_MS, NULL) != MGR_ERR_NOT_FOUND)
        pause_a_moment();
    OK(mgr_release(manager));
    OK(mgr_config_free(config));
}

/* Starts a request that must be refused; gives the reason. */
static mgr_error refused(mgr_t manager, mgr_request_t request, int32_t code)
{
    mgr_error error = {.struct_size = sizeof error};
    mgr_id id = {"untouched"};
    size_t before, after;

    OK(mgr_list(manager, NULL, 0, &before));
    CODE(code, mgr_start(manager, request, &id, &error));
    EQUAL(error.os_error, errno);
    EQUAL(code, error.code);
    EQUAL(sizeof error, error.struct_size);
    CHECK(memchr(error.message, 0, sizeof error.message) != NULL);
    CHECK(error.message[0] != 0);
    TEXT("untouched", id.text);
    OK(mgr_list(manager, NULL, 0, &after));
    EQUAL(before, after);
    return error;
}

/* The host's environment is that of the moment in which the manager was opened, and a request goes over it. */
static void environments(void)
{
    mgr_t before, after;
    mgr_request_t request;
    char text[256];
    mgr_id id;

    EQUAL(0, setenv("PROCMGR_TEST", "before", 1));
    before = open_manager();
    EQUAL(0, setenv("PROCMGR_TEST", "after", 1));
    after = open_manager();
    EQUAL(0, unsetenv("PROCMGR_TEST"));
    EQUAL(0, output_of(before, "test \"$PROCMGR_TEST\" = before", text, sizeof text));
    EQUAL(0, output_of(after, "test \"$PROCMGR_TEST\" = after", text, sizeof text));
    request = new_request("test \"$PROCMGR_TEST\" = request && env | grep -c ^PROCMGR_TEST= | grep -qx 1");
    OK(mgr_request_variable(request, "PROCMGR_TEST", "request"));
    OK(mgr_start(after, request, &id, NULL));
    EQUAL(0, wait_for(after, id).exit_code);
    OK(mgr_request_free(request));
    /* What one start adds is not there in the next. */
    EQUAL(0, output_of(after, "test \"$PROCMGR_TEST\" = after", text, sizeof text));
    OK(mgr_release(before));
    OK(mgr_release(after));
}

static void requests(void)
{
    mgr_t manager = open_manager(), scope, closed;
    mgr_request_t request = 0;
    mgr_error error = {.struct_size = sizeof error};
    mgr_process process;
    char *large = malloc(131073);
    char text[256];
    size_t length;
    mgr_id id;

    CHECK(large != NULL);
    memset(large, 'x', 131072);
    large[131072] = 0;

    CODE(MGR_ERR_HANDLE, mgr_request_free(NO_HANDLE));
    CODE(MGR_ERR_HANDLE, mgr_request_argument(NO_HANDLE, "x"));
    CODE(MGR_ERR_HANDLE, mgr_request_directory(NO_HANDLE, "/"));
    CODE(MGR_ERR_HANDLE, mgr_request_variable(NO_HANDLE, "A", "1"));
    CODE(MGR_ERR_HANDLE, mgr_request_owner(NO_HANDLE, "x"));
    CODE(MGR_ERR_HANDLE, mgr_request_background(NO_HANDLE, 1));
    CODE(MGR_ERR_HANDLE, mgr_request_time_limit_ms(NO_HANDLE, 1));
    CODE(MGR_ERR_HANDLE, mgr_request_separate_streams(NO_HANDLE, 1));
    CODE(MGR_ERR_HANDLE, mgr_request_lossless(NO_HANDLE, 1));
    CODE(MGR_ERR_HANDLE, mgr_start(manager, NO_HANDLE, NULL, NULL));

    /* Their effects. */
    OK(mgr_request_new_program("sh", &request));
    OK(mgr_request_argument(request, "-c"));
    OK(mgr_request_argument(request, "echo \"$0 $1 $V $PWD\"; echo err >&2; echo $V >&2"));
    OK(mgr_request_argument(request, "zero"));
    OK(mgr_request_argument(request, ""));
    OK(mgr_request_directory(request, "/"));
    OK(mgr_request_variable(request, "V", "old"));
    OK(mgr_request_variable(request, "V", "new"));
    OK(mgr_request_owner(request, "an owner"));
    CODE(MGR_ERR_INVALID, mgr_request_background(request, 2));
    CODE(MGR_ERR_INVALID, mgr_request_background(request, -1));
    CODE(MGR_ERR_INVALID, mgr_request_separate_streams(request, 2));
    CODE(MGR_ERR_INVALID, mgr_request_lossless(request, INT32_MIN));
    OK(mgr_request_background(request, 1));
    OK(mgr_request_time_limit_ms(request, PATIENCE_MS));
    OK(mgr_request_separate_streams(request, 1));
    OK(mgr_request_lossless(request, 1));
    error.code = error.os_error = error.step = 77;
    OK(mgr_start(manager, request, &id, &error));
    EQUAL(MGR_OK, error.code);
    EQUAL(0, error.os_error);
    EQUAL(MGR_STEP_NONE, error.step);
    process = wait_for(manager, id);
    EQUAL(MGR_EXITED, process.state);
    EQUAL(0, process.exit_code);
    EQUAL(0, process.signal);
    EQUAL(0, process.core_dumped);
    EQUAL(MGR_BY_NOBODY, process.ended_by);
    EQUAL(1, process.background);
    CHECK(process.pid > 0);
    CHECK(process.started_at_ms > 0);
    CHECK(process.ended_at_ms > 0);
    CHECK(process.duration_us > 0);
    EQUAL(strlen("zero  new /\nerr\nnew\n"), process.output_bytes);
    CHECK(process.max_rss_kib > 0);
    OK(mgr_output(manager, id.text, MGR_STDOUT, text, sizeof text, NULL, NULL));
    TEXT("zero  new /\n", text);
    OK(mgr_output(manager, id.text, MGR_STDERR, text, sizeof text, NULL, NULL));
    TEXT("err\nnew\n", text);
    OK(mgr_directory(manager, id.text, text, sizeof text, &length));
    TEXT("/", text);
    OK(mgr_owner(manager, id.text, text, sizeof text, &length));
    TEXT("an owner", text);
    OK(mgr_command(manager, id.text, text, sizeof text, &length));
    CHECK(strncmp("sh -c echo", text, 10) == 0);

    /* A scope may not start for another owner. */
    OK(mgr_scope(manager, "other", &scope));
    refused(scope, request, MGR_ERR_INVALID);
    OK(mgr_release(scope));
    OK(mgr_request_free(request));
    CODE(MGR_ERR_HANDLE, mgr_request_free(request));
    CODE(MGR_ERR_HANDLE, mgr_start(manager, request, NULL, NULL));

    /* Requests that are refused in any manager. */
#define UNACCEPTABLE(command, set)                                                                                     \
    do {                                                                                                               \
        request = new_request(command);                                                                                \
        OK(set);                                                                                                       \
        EQUAL(MGR_STEP_NONE, refused(manager, request, MGR_ERR_INVALID).step);                                         \
        OK(mgr_request_free(request));                                                                                 \
    } while (0)
    UNACCEPTABLE("", MGR_OK);
    UNACCEPTABLE(large, MGR_OK);
    UNACCEPTABLE(":", mgr_request_argument(request, large));
    UNACCEPTABLE(":", mgr_request_variable(request, "", "x"));
    UNACCEPTABLE(":", mgr_request_variable(request, "A=B", "x"));
    UNACCEPTABLE(":", mgr_request_variable(request, "A", large));
    UNACCEPTABLE(":", mgr_request_directory(request, ""));
    UNACCEPTABLE(":", mgr_request_owner(request, ""));
    UNACCEPTABLE(":", mgr_request_time_limit_ms(request, 0));
    OK(mgr_request_new_program("", &request));
    refused(manager, request, MGR_ERR_INVALID);
    OK(mgr_request_free(request));

    /* What the system does not start, and the step that failed. */
    request = new_request(":");
    OK(mgr_request_directory(request, "/nowhere/at/all"));
    error = refused(manager, request, MGR_ERR_SPAWN);
    EQUAL(MGR_STEP_DIRECTORY, error.step);
    EQUAL(ENOENT, error.os_error);
    CHECK(strstr(error.message, "/nowhere/at/all") != NULL);
    OK(mgr_request_directory(request, "/dev/null"));
    error = refused(manager, request, MGR_ERR_SPAWN);
    EQUAL(MGR_STEP_DIRECTORY, error.step);
    EQUAL(ENOTDIR, error.os_error);
    OK(mgr_request_free(request));
    OK(mgr_request_new_program("/dev/null", &request));
    error = refused(manager, request, MGR_ERR_SPAWN);
    EQUAL(MGR_STEP_EXECUTE, error.step);
    EQUAL(EACCES, error.os_error);
    OK(mgr_request_free(request));
    OK(mgr_request_new_program("/nowhere/program", &request));
    error = refused(manager, request, MGR_ERR_SPAWN);
    EQUAL(MGR_STEP_EXECUTE, error.step);
    EQUAL(ENOENT, error.os_error);
    OK(mgr_request_free(request));
    OK(mgr_request_new_program("no-program-of-this-name", &request));
    error = refused(manager, request, MGR_ERR_SPAWN);
    EQUAL(MGR_STEP_EXECUTE, error.step);
    EQUAL(ENOENT, error.os_error);
    CHECK(strstr(error.message, "no-program-of-this-name") != NULL);
    OK(mgr_request_free(request));

    closed = open_manager();
    OK(mgr_close(closed));
    request = new_request(":");
    refused(closed, request, MGR_ERR_CLOSED);
    OK(mgr_release(closed));
    OK(mgr_request_free(request));
    OK(mgr_release(manager));
    free(large);
}

static void managers(void)
{
    mgr_t manager = open_manager(), scope, inner;
    mgr_process all[3] = {{.struct_size = sizeof(mgr_process)}};
    mgr_request_t request = new_request("exec sleep 300");
    size_t count;
    mgr_id mine, ended, running;

    CODE(MGR_ERR_INVALID, mgr_scope(manager, "", &scope));
    CODE(MGR_ERR_HANDLE, mgr_scope(NO_HANDLE, "me", &scope));
    OK(mgr_scope(manager, "me", &scope));
    OK(mgr_scope(scope, "me", &inner));
    OK(mgr_release(inner));
    CODE(MGR_ERR_INVALID, mgr_scope(scope, "you", &inner));

    OK(mgr_start(scope, request, &mine, NULL));
    ended = start(manager, ":");
    wait_for(manager, ended);
    running = start(manager, "exec sleep 300");

    /* A scope sees its owner's, and nothing else. */
    OK(mgr_list(scope, all, 3, &count));
    EQUAL(1, count);
    TEXT(mine.text, all[0].id.text);
    CODE(MGR_ERR_NOT_FOUND, mgr_inspect(scope, running.text, all));
    CODE(MGR_ERR_NOT_FOUND, mgr_stop(scope, running.text, 0, NULL));
    /* Running ones first, newest first. */
    OK(mgr_list(manager, all, 3, &count));
    EQUAL(3, count);
    TEXT(running.text, all[0].id.text);
    TEXT(mine.text, all[1].id.text);
    TEXT(ended.text, all[2].id.text);
    CODE(MGR_ERR_HANDLE, mgr_list(NO_HANDLE, NULL, 0, NULL));

    /* A process of a living host is no orphan. */
    CODE(MGR_ERR_HANDLE, mgr_sweep_orphans(NO_HANDLE, &count));
    if (survivors_are_found()) {
        OK(mgr_sweep_orphans(manager, &count));
        OK(mgr_sweep_orphans(manager, NULL));
    }
    EQUAL(MGR_RUNNING, inspect(manager, running).state);
    EQUAL(MGR_RUNNING, inspect(manager, mine).state);

    /* Closing a scope ends its owner's. */
    OK(mgr_close(scope));
    OK(mgr_close(scope));
    EQUAL(MGR_BY_CLOSE, wait_for(manager, mine).ended_by);
    EQUAL(MGR_RUNNING, inspect(manager, running).state);
    CODE(MGR_ERR_CLOSED, mgr_start(scope, request, NULL, NULL));
    OK(mgr_release(scope));

    /* The owner can be started for again, through another scope; to release it ends nothing. */
    OK(mgr_scope(manager, "me", &scope));
    OK(mgr_start(scope, request, &mine, NULL));
    OK(mgr_release(scope));
    CODE(MGR_ERR_HANDLE, mgr_inspect(scope, mine.text, all));
    EQUAL(MGR_RUNNING, inspect(manager, mine).state);

    OK(mgr_close(manager));
    OK(mgr_close(manager));
    CODE(MGR_ERR_HANDLE, mgr_close(NO_HANDLE));
    EQUAL(MGR_SIGNALED, inspect(manager, running).state);
    EQUAL(SIGKILL, inspect(manager, running).signal);
    EQUAL(-1, inspect(manager, running).exit_code);
    EQUAL(MGR_BY_CLOSE, inspect(manager, mine).ended_by);
    OK(mgr_list(manager, NULL, 0, &count));
    EQUAL(4, count);
    CODE(MGR_ERR_CLOSED, mgr_start(manager, request, NULL, NULL));
    CODE(MGR_ERR_CLOSED, mgr_scope(manager, "me", &scope));
    OK(mgr_release(manager));
    CODE(MGR_ERR_HANDLE, mgr_release(manager));
    CODE(MGR_ERR_HANDLE, mgr_close(manager));
    OK(mgr_request_free(request));
}

/* The code of every function of one process for a manager and an id. */
static void nothing_there(mgr_t manager, const char *id, int32_t code)
{
    mgr_process process = {.struct_size = sizeof process};
    uint64_t cursor = 3;
    char text[8] = "before";
    size_t length = 5;

    CODE(code, mgr_inspect(manager, id, &process));
    EQUAL(0, errno);
    CODE(code, mgr_wait(manager, id, 0, &process));
    CODE(code, mgr_wait(manager, id, -1, &process));
    CODE(code, mgr_read(manager, id, MGR_STDOUT, &cursor, text, sizeof text, &length, NULL, -1));
    CODE(code, mgr_output(manager, id, MGR_STDOUT, text, sizeof text, &length, NULL));
    CODE(code, mgr_command(manager, id, text, sizeof text, &length));
    CODE(code, mgr_directory(manager, id, text, sizeof text, &length));
    CODE(code, mgr_owner(manager, id, text, sizeof text, &length));
    CODE(code, mgr_signal(manager, id, SIGTERM));
    CODE(code, mgr_stop(manager, id, 0, &process));
    CODE(code, mgr_stop_begin(manager, id, 0));
    /* Nothing was written. */
    EQUAL(3, cursor);
    EQUAL(5, length);
    TEXT("before", text);
    EQUAL(0, process.pid);
}

static void processes(void)
{
    mgr_t manager = open_manager(), scope, later;
    mgr_process process = {.struct_size = sizeof process};
    mgr_truncation truncation = {.struct_size = sizeof truncation};
    static const int signals[] = {SIGKILL, SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};
    uint64_t cursor = 0, lost = 9;
    char text[64];
    size_t index, length = 9;
    mgr_id id, first;

    OK(mgr_scope(manager, "me", &scope));
    first = id = start(manager, "echo one; exec sleep 300");
    nothing_there(NO_HANDLE, id.text, MGR_ERR_HANDLE);
    nothing_there(manager, UNKNOWN_ID, MGR_ERR_NOT_FOUND);
    nothing_there(manager, "", MGR_ERR_NOT_FOUND);
    nothing_there(manager, "no uuid", MGR_ERR_NOT_FOUND);
    nothing_there(scope, id.text, MGR_ERR_NOT_FOUND);

    /* Reading: data, none in time, the end of the process, the end of the stream. */
    OK(mgr_read(manager, id.text, MGR_STDOUT, &cursor, text, sizeof text, &length, &lost, PATIENCE_MS));
    EQUAL(4, length);
    EQUAL(4, cursor);
    EQUAL(0, lost);
    CODE(MGR_TIMEOUT, mgr_read(manager, id.text, MGR_STDOUT, &cursor, text, sizeof text, &length, NULL, 0));
    EQUAL(0, length);
    CODE(MGR_TIMEOUT, mgr_read(manager, id.text, MGR_STDOUT, &cursor, text, sizeof text, &length, NULL, 20));
    CODE(MGR_ERR_INVALID, mgr_read(manager, id.text, MGR_STDERR, &cursor, text, sizeof text, &length, NULL, 0));
    CODE(MGR_ERR_INVALID, mgr_read(manager, id.text, 2, &cursor, text, sizeof text, &length, NULL, 0));
    CODE(MGR_ERR_INVALID, mgr_read(manager, id.text, -1, &cursor, text, sizeof text, &length, NULL, 0));
    CODE(MGR_ERR_INVALID, mgr_read(manager, id.text, MGR_READ_WHOLE_CHARACTERS, &cursor, text, 3, &length, NULL, 0));
    OK(mgr_output(manager, id.text, MGR_STDOUT, text, sizeof text, &length, &truncation));
    TEXT("one\n", text);
    EQUAL(0, truncation.truncated);
    EQUAL(4, truncation.original_bytes);
    EQUAL(4, truncation.retained_bytes);
    EQUAL(0, truncation.omitted_bytes);
    CODE(MGR_ERR_INVALID, mgr_output(manager, id.text, MGR_STDERR, text, sizeof text, &length, NULL));
    CODE(MGR_ERR_INVALID, mgr_output(manager, id.text, 7, text, sizeof text, &length, NULL));
    CODE(MGR_ERR_INVALID, mgr_output(manager, id.text, MGR_READ_UNTIL_END, text, sizeof text, &length, NULL));

    /* A timeout ends the waiting and not the process. */
    CODE(MGR_TIMEOUT, mgr_wait(manager, id.text, 0, NULL));
    CODE(MGR_TIMEOUT, mgr_wait(manager, id.text, 20, &process));
    EQUAL(MGR_RUNNING, process.state);
    EQUAL(-1, process.exit_code);
    EQUAL(0, process.ended_at_ms);
    EQUAL(1, process.output_open);
    CODE(MGR_ERR_UNSUPPORTED, mgr_signal(manager, id.text, 0));
    CODE(MGR_ERR_UNSUPPORTED, mgr_signal(manager, id.text, -1));
    CODE(MGR_ERR_UNSUPPORTED, mgr_signal(manager, id.text, SIGCHLD));
    CODE(MGR_ERR_UNSUPPORTED, mgr_signal(manager, id.text, INT32_MAX));
    OK(mgr_signal(manager, id.text, SIGSTOP));
    OK(mgr_signal(manager, id.text, SIGCONT));
    OK(mgr_stop(manager, id.text, MGR_STOP_GRACE_MS, &process));
    EQUAL(MGR_SIGNALED, process.state);
    EQUAL(SIGTERM, process.signal);
    EQUAL(MGR_BY_STOP, process.ended_by);
    OK(mgr_stop(manager, id.text, -1, NULL));
    CODE(MGR_ERR_NOT_RUNNING, mgr_signal(manager, id.text, SIGTERM));
    CODE(MGR_EOF, mgr_read(manager, id.text, MGR_STDOUT, &cursor, text, sizeof text, &length, NULL, -1));
    cursor = UINT64_MAX;
    CODE(MGR_EOF, mgr_read(manager, id.text, MGR_STDOUT, &cursor, text, sizeof text, &length, NULL, -1));

    /* Each signal that ends, by the one that was sent. */
    for (index = 0; index < sizeof signals / sizeof signals[0]; index++) {
        id = start(manager, "exec sleep 300");
        OK(mgr_signal(manager, id.text, signals[index]));
        OK(mgr_wait(manager, id.text, -1, &process));
        EQUAL(MGR_SIGNALED, process.state);
        EQUAL(signals[index], process.signal);
        EQUAL(MGR_BY_SIGNAL, process.ended_by);
    }

    id = start(manager, "exec sleep 300");
    OK(mgr_stop_begin(manager, id.text, 0));
    EQUAL(MGR_BY_STOP, wait_for(manager, id).ended_by);

    /* Everything can still be asked of a closed manager. */
    later = manager;
    OK(mgr_close(later));
    OK(mgr_inspect(later, id.text, &process));
    OK(mgr_wait(later, id.text, -1, &process));
    OK(mgr_output(later, first.text, MGR_STDOUT, text, sizeof text, &length, &truncation));
    TEXT("one\n", text);
    CODE(MGR_ERR_NOT_RUNNING, mgr_signal(later, id.text, SIGKILL));
    OK(mgr_stop(later, id.text, 0, &process));
    OK(mgr_stop_begin(later, id.text, 0));
    OK(mgr_release(scope));
    OK(mgr_release(manager));
    nothing_there(manager, id.text, MGR_ERR_HANDLE);
}

/* A survivor: the process has ended, its output has not, and signals reach what is left. */
static void survivors(void)
{
    mgr_t manager = open_manager();
    mgr_process process;
    uint64_t cursor;
    char text[8];
    size_t length;
    mgr_id survivor;

    survivor = start(manager, "sleep 300 & echo ok");
    process = wait_for(manager, survivor);
    EQUAL(0, process.exit_code);
    EQUAL(1, process.output_open);
    cursor = 3;
    CODE(MGR_ENDED, mgr_read(manager, survivor.text, MGR_STDOUT | MGR_READ_UNTIL_END, &cursor, text, sizeof text, &length,
                             NULL, -1));
    CODE(MGR_TIMEOUT, mgr_read(manager, survivor.text, MGR_STDOUT, &cursor, text, sizeof text, &length, NULL, 0));
    OK(mgr_signal(manager, survivor.text, SIGTERM));
    CODE(MGR_EOF, mgr_read(manager, survivor.text, MGR_STDOUT, &cursor, text, sizeof text, &length, NULL, -1));
    OK(mgr_release(manager));
}

static void event_functions(void)
{
    mgr_t manager = open_manager();
    mgr_event event = {.struct_size = sizeof event};
    mgr_events_t events = 0, late;
    int32_t descriptor = -1;
    mgr_id id;

    CODE(MGR_ERR_HANDLE, mgr_events_open(NO_HANDLE, &events));
    CODE(MGR_ERR_HANDLE, mgr_events_release(NO_HANDLE));
    CODE(MGR_ERR_HANDLE, mgr_events_next(NO_HANDLE, -1, &event));
    CODE(MGR_ERR_HANDLE, mgr_events_descriptor(NO_HANDLE, &descriptor));
    OK(mgr_events_open(manager, &events));
    id = start(manager, "exec sleep 300");
    CODE(MGR_ERR_HANDLE, mgr_events_watch(NO_HANDLE, manager, id.text, MGR_STDOUT, 0));
    CODE(MGR_ERR_HANDLE, mgr_events_watch(events, NO_HANDLE, id.text, MGR_STDOUT, 0));
    CODE(MGR_ERR_NOT_FOUND, mgr_events_watch(events, manager, UNKNOWN_ID, MGR_STDOUT, 0));
    CODE(MGR_ERR_INVALID, mgr_events_watch(events, manager, id.text, MGR_STDERR, 0));
    CODE(MGR_ERR_INVALID, mgr_events_watch(events, manager, id.text, 2, 0));
    OK(mgr_events_watch(events, manager, id.text, MGR_STDOUT, 0));
    OK(mgr_events_next(events, -1, &event));
    EQUAL(MGR_EVENT_STARTED, event.kind);
    TEXT(id.text, event.id.text);
    CODE(MGR_TIMEOUT, mgr_events_next(events, 0, &event));
    OK(mgr_events_descriptor(events, &descriptor));
    CHECK(descriptor >= 0);
    OK(mgr_close(manager));
    while (mgr_events_next(events, -1, &event) == MGR_OK)
        ;
    CODE(MGR_ERR_CLOSED, mgr_events_next(events, -1, &event));
    CODE(MGR_ERR_CLOSED, mgr_events_open(manager, &late));
    OK(mgr_events_release(events));
    CODE(MGR_ERR_HANDLE, mgr_events_release(events));
    CODE(MGR_ERR_HANDLE, mgr_events_next(events, -1, &event));
    OK(mgr_release(manager));
}

static rlim_t limit(int resource, rlim_t soft)
{
    struct rlimit limits;
    rlim_t before;

    EQUAL(0, getrlimit(resource, &limits));
    before = limits.rlim_cur;
    limits.rlim_cur = soft;
    EQUAL(0, setrlimit(resource, &limits));
    return before;
}

static void out_of_descriptors(void)
{
    mgr_t manager = open_manager();
    mgr_request_t request = new_request(":");
    mgr_id id = start(manager, ":");
    mgr_error error;
    mgr_events_t events;
    int32_t descriptor = -5;
    rlim_t before;

    wait_for(manager, id);
    OK(mgr_events_open(manager, &events));
    before = limit(RLIMIT_NOFILE, 0);
    error = refused(manager, request, MGR_ERR_SPAWN);
    EQUAL(MGR_STEP_PIPE, error.step);
    EQUAL(EMFILE, error.os_error);
    CODE(MGR_ERR_IO, mgr_events_descriptor(events, &descriptor));
    EQUAL(EMFILE, errno);
    EQUAL(-5, descriptor);
    CODE(MGR_ERR_IO, mgr_signal(manager, id.text, SIGTERM));
    EQUAL(EMFILE, errno);
    limit(RLIMIT_NOFILE, before);
    OK(mgr_events_descriptor(events, &descriptor));
    CODE(MGR_ERR_NOT_RUNNING, mgr_signal(manager, id.text, SIGTERM));
    OK(mgr_events_release(events));
    OK(mgr_request_free(request));
    check_works(manager);
    OK(mgr_release(manager));
}

/* In a process of its own, since what it gives up does not come back. */
static void out_of_threads(void)
{
    mgr_request_t request;
    mgr_error error;
    mgr_t manager, other = 42;
    rlim_t before;
    mgr_id id;
    pid_t child = fork();

    if (child != 0) {
        check_child(child);
        return;
    }
    /* The limit does not count for root. */
    if (getuid() == 0)
        EQUAL(0, setuid(65534));
    /* Another user may not be allowed to enter the home directory. */
    EQUAL(0, setenv("HOME", "/", 1));
    manager = open_manager();
    id = start(manager, "exec sleep 300");
    request = new_request(":");
    before = limit(RLIMIT_NPROC, 0);
    CODE(MGR_ERR_IO, mgr_open(0, &other));
    EQUAL(EAGAIN, errno);
    EQUAL(42, other);
    CODE(MGR_ERR_IO, mgr_stop_begin(manager, id.text, 0));
    EQUAL(EAGAIN, errno);
    error = refused(manager, request, MGR_ERR_SPAWN);
    EQUAL(MGR_STEP_THREAD, error.step);
    EQUAL(EAGAIN, error.os_error);
    OK(mgr_stop(manager, id.text, 0, NULL));
    limit(RLIMIT_NPROC, before);
    check_works(manager);
    OK(mgr_request_free(request));
    OK(mgr_release(manager));
    exit(0);
}

int main(void)
{
    /* First, since it forks, and a copy of a host has no managers. */
    out_of_threads();
    about_the_library();
    configs();
    environments();
    requests();
    managers();
    processes();
    if (survivors_are_found())
        survivors();
    event_functions();
    out_of_descriptors();
    return 0;
}
