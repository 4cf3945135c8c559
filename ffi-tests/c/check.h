/*
 * What the C tests have in common: checks that say where and what, and small helpers. A test is one program; it ends
 * with 0 if everything holds, and with 1 at the first thing that does not.
 */
#ifndef CHECK_H
#define CHECK_H

#define _XOPEN_SOURCE 700

#include <errno.h>
#include <procmgr.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Before the message of a check that fails: a pending cancellation must not end the thread while it is written. */
static inline void before_message(void)
{
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
}

/* Fails unless the condition holds. */
#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            before_message();                                                                                          \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);                                  \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

/* Fails unless two integers are equal. */
#define EQUAL(expected, actual) check_equal(__FILE__, __LINE__, #actual, (long long)(expected), (long long)(actual))

/* An errno that no system call sets. */
#define ERRNO_BEFORE 4711

/* Fails unless a call returns this code, and leaves errno as it was if that is no error. */
#define CODE(expected, call) check_code(__FILE__, __LINE__, #call, expected, (errno = ERRNO_BEFORE, call))

/* Fails unless a call returns MGR_OK. */
#define OK(call) CODE(MGR_OK, call)

/* Fails unless a text is this one. */
#define TEXT(expected, actual) check_text(__FILE__, __LINE__, #actual, expected, actual)

/* How long a test waits for something that must happen: a minute. */
#define PATIENCE_MS 60000

/* An id that no process has. */
#define UNKNOWN_ID "00000000-0000-4000-8000-000000000000"

/* A program that loads the library at run time is not linked to it. */
#ifdef NOT_LINKED
#define EXPLAIN(code) ((void)(code), "")
#else
#define EXPLAIN(code) mgr_strerror(code)
#endif

static inline void check_equal(const char *file, int line, const char *what, long long expected, long long actual)
{
    if (expected != actual) {
        before_message();
        fprintf(stderr, "%s:%d: %s is %lld and not %lld\n", file, line, what, actual, expected);
        exit(1);
    }
}

static inline int32_t check_code(const char *file, int line, const char *what, int32_t expected, int32_t actual)
{
    int error = errno;

    if (expected != actual) {
        before_message();
        fprintf(stderr, "%s:%d: %s answers %d (%s; errno %d) and not %d (%s)\n", file, line, what, (int)actual,
                EXPLAIN(actual), error, (int)expected, EXPLAIN(expected));
        exit(1);
    }
    if (actual >= 0 && error != ERRNO_BEFORE) {
        before_message();
        fprintf(stderr, "%s:%d: %s returns %d and changes errno to %d\n", file, line, what, (int)actual, error);
        exit(1);
    }
    errno = error;
    return actual;
}

static inline void check_text(const char *file, int line, const char *what, const char *expected, const char *actual)
{
    if (strcmp(expected, actual) != 0) {
        before_message();
        fprintf(stderr, "%s:%d: %s is \"%s\" and not \"%s\"\n", file, line, what, actual, expected);
        exit(1);
    }
}

/* tests/c.rs sets this variable under valgrind, which does not know every system call of the library. */
static inline int under_valgrind(void)
{
    return getenv("PROCMGR_UNDER_VALGRIND") != NULL;
}

/* valgrind does not know pidfd_open, without which nothing that a leader left behind is found. */
static inline int survivors_are_found(void)
{
    return !under_valgrind();
}

/* How often a test does what it does many times. */
static inline int rounds(int argc, char **argv, int usual)
{
    return argc > 1 ? atoi(argv[1]) : usual;
}

#ifndef NOT_LINKED

static inline mgr_t open_manager(void)
{
    mgr_t manager = 0;

    OK(mgr_open(0, &manager));
    CHECK(manager != 0);
    return manager;
}

static inline mgr_request_t new_request(const char *command)
{
    mgr_request_t request = 0;

    OK(mgr_request_new(command, &request));
    CHECK(request != 0);
    return request;
}

static inline mgr_id start(mgr_t manager, const char *command)
{
    mgr_request_t request = new_request(command);
    mgr_id id;

    OK(mgr_start(manager, request, &id, NULL));
    OK(mgr_request_free(request));
    EQUAL(36, strlen(id.text));
    return id;
}

static inline mgr_process wait_for(mgr_t manager, mgr_id id)
{
    mgr_process process = {.struct_size = sizeof process};

    OK(mgr_wait(manager, id.text, PATIENCE_MS, &process));
    TEXT(id.text, process.id.text);
    return process;
}

static inline mgr_process inspect(mgr_t manager, mgr_id id)
{
    mgr_process process = {.struct_size = sizeof process};

    OK(mgr_inspect(manager, id.text, &process));
    return process;
}

/* Runs a command to its end, and copies its output, which must fit. Gives the exit code. */
static inline int32_t output_of(mgr_t manager, const char *command, char *buffer, size_t capacity)
{
    mgr_id id = start(manager, command);
    mgr_process process = wait_for(manager, id);
    size_t length;

    OK(mgr_output(manager, id.text, MGR_STDOUT, buffer, capacity, &length, NULL));
    CHECK(length < capacity);
    EQUAL(0, buffer[length]);
    return process.exit_code;
}

/* A manager is good if it runs a command. */
static inline void check_works(mgr_t manager)
{
    char text[64];

    EQUAL(7, output_of(manager, "echo works; exit 7", text, sizeof text));
    TEXT("works\n", text);
}

/* Reads until the process has written this many bytes. */
static inline void wait_for_output(mgr_t manager, mgr_id id, uint64_t bytes)
{
    uint64_t cursor = bytes - 1;
    char byte;
    size_t length;

    OK(mgr_read(manager, id.text, MGR_STDOUT, &cursor, &byte, 1, &length, NULL, PATIENCE_MS));
}

#endif /* NOT_LINKED */

static inline pthread_t run_thread(void *(*body)(void *), void *argument)
{
    pthread_t thread;

    EQUAL(0, pthread_create(&thread, NULL, body, argument));
    return thread;
}

static inline void join_thread(pthread_t thread)
{
    EQUAL(0, pthread_join(thread, NULL));
}

/* Waits for a child of our own, which must end with 0. */
static inline void check_child(pid_t child)
{
    int status = -1;

    CHECK(child > 0);
    EQUAL(child, waitpid(child, &status, 0));
    CHECK(WIFEXITED(status));
    EQUAL(0, WEXITSTATUS(status));
}

static inline int64_t now_ms(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

/* A short pause between two checks of a condition. */
static inline void pause_a_moment(void)
{
    struct timespec time = {0, 1000000};

    nanosleep(&time, NULL);
}

#endif /* CHECK_H */
