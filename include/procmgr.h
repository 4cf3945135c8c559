/*
 * procmgr starts shell commands from inside a host program. It keeps the beginning and the end of what
 * each one prints, reports how each one ended, and ends what a command left running.
 *
 * Generated from the library's sources: do not edit.
 *
 *
 * A complete program
 * ------------------
 *
 *     #include <procmgr.h>
 *     #include <stdio.h>
 *     #include <stdlib.h>
 *
 *     static void check(int32_t code, const char *what)
 *     {
 *         if (code < 0) {
 *             fprintf(stderr, "%s: %s\n", what, mgr_strerror(code));
 *             exit(1);
 *         }
 *     }
 *
 *     int main(int argc, char **argv)
 *     {
 *         mgr_t manager;
 *         mgr_request_t request;
 *         mgr_id id;
 *         mgr_process process = { .struct_size = sizeof process };
 *         char buffer[4096];
 *         uint64_t cursor = 0;
 *         size_t length;
 *         int32_t code;
 *
 *         check(mgr_open(0, &manager), "open");
 *         check(mgr_request_new(argc > 1 ? argv[1] : "echo hello; exit 3", &request), "request");
 *         // Lossless: the command waits for this program instead of overwriting what it has not read.
 *         check(mgr_request_lossless(request, 1), "lossless");
 *         check(mgr_start(manager, request, &id, NULL), "start");
 *         mgr_request_free(request);
 *         while ((code = mgr_read(manager, id.text, MGR_STDOUT | MGR_READ_UNTIL_END, &cursor, buffer, sizeof buffer,
 *                                 &length, NULL, -1)) == MGR_OK)
 *             fwrite(buffer, 1, length, stdout);
 *         check(code, "read");
 *         check(mgr_wait(manager, id.text, -1, &process), "wait");
 *         printf("exit code %d\n", (int)process.exit_code);
 *         mgr_release(manager); // ends everything that is left
 *         return 0;
 *     }
 *
 *
 * Contents
 * --------
 *
 * Codes and versions:
 *     mgr_strerror                      the meaning of a code
 *     mgr_version                       the version of the library, as text
 *     mgr_version_number                the version of the library, as a number
 *
 * Managers and scopes:
 *     mgr_open                          opens a manager
 *     mgr_scope                         a manager limited to one owner
 *     mgr_instance                      the id of a manager
 *     mgr_close                         ends all processes
 *     mgr_release                       releases the handle, closes a manager
 *     mgr_sweep_orphans                 ends the processes of hosts that have ended
 *
 * Options of a manager:
 *     mgr_config_new                    makes a config with all defaults
 *     mgr_config_free                   frees it
 *     mgr_config_shell                  the shell that runs commands
 *     mgr_config_directory              the default working directory
 *     mgr_config_clear_environment      an empty base environment
 *     mgr_config_variable               a variable of the base environment
 *     mgr_config_owner_variable         the variable that holds the owner
 *     mgr_config_start_method           how processes are started
 *     mgr_config_head_bytes             bytes kept of the beginning of a stream
 *     mgr_config_tail_bytes             bytes kept of the end of a stream
 *     mgr_config_max_line_bytes         the longest line of a text
 *     mgr_config_max_processes          how many processes may be live
 *     mgr_config_max_ended              how many ended processes are kept
 *     mgr_config_keep_ended_ms          how long they are kept
 *     mgr_config_keep_keyed_ms          how long they are kept, if started with a key
 *     mgr_config_stop_grace_ms          from TERM to KILL for a time limit and a cancel
 *     mgr_config_close_grace_ms         from TERM to KILL for a close
 *
 * Requests:
 *     mgr_request_new                   a command for the shell
 *     mgr_request_new_program           a program without a shell
 *     mgr_request_free                  frees it
 *     mgr_request_argument              adds an argument
 *     mgr_request_directory             the working directory
 *     mgr_request_variable              an environment variable
 *     mgr_request_owner                 the owner
 *     mgr_request_background            a flag that is reported
 *     mgr_request_time_limit_ms         when the process is ended
 *     mgr_request_separate_streams      standard error as a stream of its own
 *     mgr_request_lossless              no unread byte is dropped
 *     mgr_request_key                   makes the start idempotent
 *     mgr_request_id                    the id of the process
 *     mgr_request_start_timeout_ms      how long to wait for another start of the key
 *
 * Starting:
 *     mgr_start                         starts a process
 *
 * Keys of idempotent starts:
 *     mgr_cancel                        makes sure that the process of a key does not run
 *     mgr_find                          the process of a key
 *     mgr_forget                        drops an ended process and its key
 *     mgr_forget_key                    removes the record of a key
 *
 * The state of processes:
 *     mgr_list                          all of them
 *     mgr_inspect                       one of them
 *     mgr_wait                          waits for the end
 *     mgr_command                       the command
 *     mgr_directory                     the working directory
 *     mgr_owner                         the owner
 *
 * Output:
 *     mgr_read                          the bytes of a stream, from a cursor on
 *     mgr_output                        a text of bounded size
 *
 * Signals and stopping:
 *     mgr_signal                        sends a signal
 *     mgr_stop                          ends a process and what it left behind
 *     mgr_stop_begin                    the same, without waiting
 *
 * Events:
 *     mgr_events_open                   subscribes
 *     mgr_events_release                ends the subscription
 *     mgr_events_next                   takes the next event
 *     mgr_events_descriptor             a descriptor for poll or epoll
 *     mgr_events_watch                  requests an event when there is output
 *
 *
 * Words
 * -----
 *
 * host      The program that loads this library.
 * manager   A registry of processes. It is opened and closed by the host.
 * owner     A text that the host tags processes with: a chat, a tenant, a job.
 * scope     A manager limited to the processes of one owner.
 * request   A description of what to start.
 * process   A command that was started: its leader and everything that the leader has started.
 * leader    The process that runs the command itself. It leads a process group.
 * survivor  A descendant of the leader that runs after the leader has ended.
 * ended     Of a process: its leader has ended, and everything that the leader wrote can be read.
 * dropped   Of an ended process: it is not kept any more. mgr_config_keep_ended_ms and
 *           mgr_config_max_ended say when.
 * stream    The output of a process: standard output, with or without standard error.
 * cursor    A position in a stream: the number of bytes before it.
 * key       Bytes that make a start idempotent: of all starts with one key, one starts a process.
 *
 *
 * Results
 * -------
 *
 * Every function but mgr_strerror, mgr_version and mgr_version_number returns an int32_t: MGR_OK (0), a
 * positive code for an outcome that is not an error, or a negative code for an error. After an error,
 * errno holds the error of the operating system, or 0 if there was none. A call that returns MGR_OK or a
 * positive code leaves errno as it was. Results are written through pointers, which can be NULL where the
 * function says so. After an error, nothing is written through them unless the function says otherwise.
 *
 * "Returns" lists the codes of a function. A code without an explanation has the meaning that is given at
 * its definition. Each of these functions can also return MGR_ERR_FORKED and MGR_ERR_PANIC, which are not
 * repeated.
 *
 *
 * Handles and memory
 * ------------------
 *
 * A handle is a number. 0 is never a handle, and no number is used twice. Use of a handle after its
 * release is therefore safe: it returns MGR_ERR_HANDLE. Each kind of handle has a function that releases
 * it: mgr_release, mgr_config_free, mgr_request_free, mgr_events_release.
 *
 * All other memory belongs to the caller. The library returns no memory that has to be freed, and keeps
 * no pointer after a call: what it needs, it copies. A struct that receives results begins with
 * struct_size. The caller sets it to the size of the struct before the call; the library never writes
 * past it. So a program can be built with another version of this header than that of the library. If
 * struct_size is too small or not set, the function returns MGR_ERR_INVALID. If a buffer is too small,
 * the function returns MGR_ERR_BUFFER and reports the length that is needed.
 *
 * A text parameter ends with a NUL and need not be UTF-8. A process is named by its id, as mgr_start
 * reports it. A text that is no id names no process: the function returns MGR_ERR_NOT_FOUND. Times are in
 * milliseconds unless the name says otherwise. Positions and counts of bytes have 64 bits.
 *
 *
 * Threads, signals, fork
 * ----------------------
 *
 * Every function can be called from any thread at any time, also on the same handle and while another
 * thread closes it. A function that blocks says what ends the wait. Closing the manager always does.
 *
 * The library has threads of its own: one for each manager, two for each live process, and one for each
 * mgr_cancel, each mgr_stop_begin and each time limit that is reached, until the processes have ended.
 * They block all signals and never call into the host. The library installs no signal handler, waits for
 * no child but its own, and does not change the environment, the working directory, the limits or the
 * signal masks of the host. In a child that the host forks after its first call of the library, every
 * function that returns a code returns MGR_ERR_FORKED.
 *
 *
 * Versions
 * --------
 *
 * Within a major version, functions and struct fields are added and never changed. MGR_VERSION_NUMBER is
 * the version of this header, mgr_version_number() that of the library that is loaded.
 */

#ifndef PROCMGR_H
#define PROCMGR_H

#include <stddef.h>
#include <stdint.h>

/** The version of this header, as text. */
#define MGR_VERSION "0.1.0"


/** Success. */
#define MGR_OK 0

/** mgr_start: the key was started before; id names that process. */
#define MGR_ATTACHED 1

/** The timeout passed first. Results hold the present state. */
#define MGR_TIMEOUT 2

/** mgr_read: the stream has ended, and there are no bytes at or after the cursor. */
#define MGR_EOF 3

/**
 * mgr_read with MGR_READ_UNTIL_END: the process has ended and everything that it wrote was read. Processes
 * that it left behind may still write.
 */
#define MGR_ENDED 4

/** An argument is invalid. */
#define MGR_ERR_INVALID -1

/** There is no such handle: it was never made, was released, or is of another kind. */
#define MGR_ERR_HANDLE -2

/** The manager is closed. */
#define MGR_ERR_CLOSED -3

/** There is no such process or key, or it has another owner than the scope. */
#define MGR_ERR_NOT_FOUND -4

/** The process has ended and nothing of it is left. */
#define MGR_ERR_NOT_RUNNING -5

/** The command could not be started. */
#define MGR_ERR_SPAWN -6

/** A configured limit is reached. */
#define MGR_ERR_LIMIT -7

/** The key belongs to a different request. */
#define MGR_ERR_CONFLICT -8

/** The key was canceled before it was started. */
#define MGR_ERR_CANCELED -9

/** The process was started with a key, has ended and was dropped. */
#define MGR_ERR_EXPIRED -10

/** The buffer is too small. The length that is needed is reported. */
#define MGR_ERR_BUFFER -11

/** The operating system refused; see errno. */
#define MGR_ERR_IO -12

/** The function was called in a forked copy of the host. */
#define MGR_ERR_FORKED -13

/** Not supported on this system. */
#define MGR_ERR_UNSUPPORTED -14

/** A defect in procmgr. The manager stays usable. */
#define MGR_ERR_PANIC -15

/** Step of mgr_error: no step of a start failed. */
#define MGR_STEP_NONE 0

/** Step of mgr_error: getting the threads of the process failed. */
#define MGR_STEP_THREAD 1

/** Step of mgr_error: making the pipes failed. */
#define MGR_STEP_PIPE 2

/** Step of mgr_error: making the process failed. */
#define MGR_STEP_PROCESS 3

/** Step of mgr_error: entering the working directory failed. */
#define MGR_STEP_DIRECTORY 4

/** Step of mgr_error: executing the program failed. */
#define MGR_STEP_EXECUTE 5

/** The version of this header as a number: major * 1,000,000 + minor * 1,000 + patch. */
#define MGR_VERSION_NUMBER 1000

/** Stream: standard output, and standard error unless the streams are separate. */
#define MGR_STDOUT 0

/** Stream: standard error, if the streams are separate. */
#define MGR_STDERR 1

/**
 * Added to the stream in mgr_read: the bytes never end inside a UTF-8 character, unless the stream has
 * ended there. The buffer must hold at least 4 bytes.
 */
#define MGR_READ_WHOLE_CHARACTERS 256

/**
 * Added to the stream in mgr_read: return MGR_ENDED when the process has ended and everything that it
 * wrote was read, although processes that it left behind may still write. Without it, mgr_read waits
 * for these.
 */
#define MGR_READ_UNTIL_END 512

/** State: the leader has not ended. */
#define MGR_RUNNING 0

/** State: the leader has exited; see exit_code. */
#define MGR_EXITED 1

/** State: a signal has ended the leader; see signal. */
#define MGR_SIGNALED 2

/** State: the leader has ended, and how is unknown, because the host has reaped it or ignores SIGCHLD. */
#define MGR_LOST 3

/** State, only from mgr_cancel: the key has not started a process, and will not. */
#define MGR_NEVER_STARTED 4

/**
 * State, only from mgr_cancel: the key is still being started. The process will be ended if the start
 * succeeds.
 */
#define MGR_STARTING 5

/** Ended by: no call of this library; or it has not ended. */
#define MGR_BY_NOBODY 0

/** Ended by: mgr_signal. */
#define MGR_BY_SIGNAL 1

/** Ended by: mgr_stop. */
#define MGR_BY_STOP 2

/** Ended by: the time limit of its request. */
#define MGR_BY_LIMIT 3

/** Ended by: mgr_cancel. */
#define MGR_BY_CANCEL 4

/** Ended by: mgr_close or mgr_release. */
#define MGR_BY_CLOSE 5

/**
 * Start method: a clone that shares the host's memory until its execve. The host is never forked, and
 * the process inherits no descriptor other than 0, 1 and 2, no blocked, handled or ignored signal,
 * and no controlling terminal.
 */
#define MGR_START_AUTOMATIC 0

/** Start method: posix_spawn. Not supported: MGR_ERR_UNSUPPORTED. */
#define MGR_START_POSIX_SPAWN 1

/**
 * Start method: Rust's standard library as it is. The process inherits what the host leaves it:
 * blocked and ignored signals, the controlling terminal, descriptors without close-on-exec.
 */
#define MGR_START_STD 2

/** The usual grace period of mgr_stop between TERM and KILL, in milliseconds. */
#define MGR_STOP_GRACE_MS 5000

/** Event: the process was started. */
#define MGR_EVENT_STARTED 1

/** Event: the leader has ended, and everything that the leader wrote can be read. */
#define MGR_EVENT_ENDED 2

/** Event: all streams of the process have ended. Bytes written later are not read. */
#define MGR_EVENT_OUTPUT_CLOSED 3

/**
 * Event: of mgr_events_watch: there is a byte at or after the cursor, the process has ended, or the stream
 * has ended.
 */
#define MGR_EVENT_READABLE 4

/** Event: a stop that mgr_stop_begin has begun is over. */
#define MGR_EVENT_STOPPED 5

/** Event: events were dropped because the queue was full. Query the state of every process once. */
#define MGR_EVENT_MISSED 6

/** The handle of a config: options for mgr_open. */
typedef uint64_t mgr_config_t;

/** The handle of a manager or a scope. 0 is never valid. */
typedef uint64_t mgr_t;

/** The id of a process: a UUID of 36 characters and a NUL. */
typedef struct mgr_id {
    /** The text. Functions that take an id take this. */
    char text[37];
} mgr_id;

/** The handle of a request: what to start. */
typedef uint64_t mgr_request_t;

/** Why a start failed. Set struct_size before the call. */
typedef struct mgr_error {
    /** sizeof(mgr_error), set by the caller. No more than this is written. */
    size_t struct_size;
    /** The code that the function returned. */
    int32_t code;
    /** The operating system's error number (errno), or 0. */
    int32_t os_error;
    /** The step of the start that failed: one of MGR_STEP_*. */
    int32_t step;
    /** The error in one line that names what is wrong. Ends with a NUL; cut if it does not fit. */
    char message[500];
} mgr_error;

/** The state of a process. Set struct_size before the call. */
typedef struct mgr_process {
    /** sizeof(mgr_process), set by the caller. No more than this is written. */
    size_t struct_size;
    /** The id. */
    struct mgr_id id;
    /**
     * The pid of the leader, which is also its process group. Once the leader has ended, an unrelated
     * process may have this number.
     */
    int32_t pid;
    /**
     * MGR_RUNNING, MGR_EXITED, MGR_SIGNALED or MGR_LOST; from mgr_cancel also MGR_NEVER_STARTED or
     * MGR_STARTING.
     */
    int32_t state;
    /** The exit code; -1 unless the state is MGR_EXITED. */
    int32_t exit_code;
    /** The signal that ended the leader; 0 unless the state is MGR_SIGNALED. */
    int32_t signal;
    /** 1 if the leader has left a core dump. */
    int32_t core_dumped;
    /** What has ended the process: one of MGR_BY_*. */
    int32_t ended_by;
    /** 1 if the request marked it as a background process. */
    int32_t background;
    /** 1 while the leader, or a process that it left behind, can still write to the output. */
    int32_t output_open;
    /** The time of the start: milliseconds of Unix time. */
    int64_t started_at_ms;
    /** The time of the end: milliseconds of Unix time, 0 while it runs. */
    int64_t ended_at_ms;
    /** How long it has run, by the monotonic clock: microseconds. */
    int64_t duration_us;
    /** Bytes of output so far: of all streams together, kept or dropped. */
    uint64_t output_bytes;
    /**
     * CPU time in user mode, of the leader and the children that it has waited for: microseconds, 0
     * while it runs.
     */
    int64_t user_us;
    /** CPU time in the kernel, of the same: microseconds, 0 while it runs. */
    int64_t system_us;
    /**
     * Peak resident memory of the leader, or of the largest child that it has waited for: KiB, 0 while
     * it runs.
     */
    uint64_t max_rss_kib;
} mgr_process;

/** How much of the output the text of mgr_output shows. Set struct_size before the call. */
typedef struct mgr_truncation {
    /** sizeof(mgr_truncation), set by the caller. No more than this is written. */
    size_t struct_size;
    /** 1 if the text does not show every byte of the output. */
    int32_t truncated;
    /** Bytes of the output. */
    uint64_t original_bytes;
    /** Bytes of the text. */
    uint64_t retained_bytes;
    /** Bytes of the output that the text does not show: between beginning and end, and cut from long lines. */
    uint64_t omitted_bytes;
} mgr_truncation;

/** The handle of a subscription to events. */
typedef uint64_t mgr_events_t;

/** An event. Set struct_size before the call. */
typedef struct mgr_event {
    /** sizeof(mgr_event), set by the caller. No more than this is written. */
    size_t struct_size;
    /** One of MGR_EVENT_*. */
    int32_t kind;
    /** Of MGR_EVENT_READABLE, the stream: MGR_STDOUT or MGR_STDERR. */
    int32_t stream;
    /** Of MGR_EVENT_MISSED, the number of events that were dropped. */
    uint64_t missed;
    /** The id of the process; empty for MGR_EVENT_MISSED. */
    struct mgr_id id;
} mgr_event;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/*
 * Codes and versions
 * ------------------
 */

/**
 * Returns the meaning of a code in one line of English.
 *
 * Returns: a text that lives as long as the library; never NULL, also for a code that does not exist.
 * Blocks: no. Works in a forked copy of the host.
 */
const char *mgr_strerror(int32_t code);

/**
 * Returns the version of the library that is loaded, such as "0.1.0". MGR_VERSION is the version of this
 * header.
 *
 * Returns: a text that lives as long as the library; never NULL.
 * Blocks: no. Works in a forked copy of the host.
 */
const char *mgr_version(void);

/**
 * Returns the version of the library that is loaded as a number: major * 1,000,000 + minor * 1,000 +
 * patch. MGR_VERSION_NUMBER is that of this header.
 *
 * Returns: the number.
 * Blocks: no. Works in a forked copy of the host.
 */
int32_t mgr_version_number(void);

/*
 * Managers and scopes
 * -------------------
 */

/**
 * Opens a manager: a registry of processes. It has one thread and two descriptors of its own until it is
 * closed.
 *
 * Parameters:
 * - config: a config handle, or 0 for all defaults. The manager copies the options.
 * - manager: receives the handle. Release it with mgr_release.
 *
 * Returns:
 * - MGR_OK
 * - MGR_ERR_INVALID: manager is NULL, or an option is out of range.
 * - MGR_ERR_HANDLE: config is neither 0 nor a config handle.
 * - MGR_ERR_IO: out of threads or file descriptors.
 *
 * Blocks: no.
 */
int32_t mgr_open(mgr_config_t config, mgr_t *manager);

/**
 * Makes a scope: a view of a manager that sees, starts and ends only the processes of one owner. Every
 * function that takes a manager takes a scope too. A scope of a scope must have the same owner.
 *
 * Parameters:
 * - owner: the owner; not empty, any bytes; copied.
 * - scope: receives the handle. Release it with mgr_release, which leaves the processes alone.
 *
 * Returns:
 * - MGR_OK
 * - MGR_ERR_INVALID: an argument is NULL, the owner is empty, or manager is a scope of another owner.
 * - MGR_ERR_HANDLE
 * - MGR_ERR_CLOSED
 *
 * Blocks: no.
 */
int32_t mgr_scope(mgr_t manager, const char *owner, mgr_t *scope);

/**
 * Reports the id of a manager, which is different for each manager that is opened. With it, a caller can
 * tell a key that was never started here from one that was started by another manager. A scope has the id
 * of its manager.
 *
 * Parameters:
 * - instance: receives the id.
 *
 * Returns:
 * - MGR_OK
 * - MGR_ERR_INVALID: instance is NULL.
 * - MGR_ERR_HANDLE
 *
 * Blocks: no.
 */
int32_t mgr_instance(mgr_t manager, struct mgr_id *instance);

/**
 * Ends all processes that the manager or scope sees, with everything that they left behind, and waits
 * until they have ended. New starts are refused. Other calls that wait for these processes return. Ended
 * processes can still be read, until the handle is released. Closing again changes nothing.
 *
 * Returns:
 * - MGR_OK: nothing is left.
 * - MGR_ERR_HANDLE
 * - MGR_ERR_IO: a process has not ended 10 seconds after KILL; or processes that left their process group
 *   cannot be searched for, because /proc is not mounted or the system is out of file descriptors. Closing
 *   again tries again.
 *
 * Blocks: until starts under way have finished; then up to the manager's close grace (default 0) and until
 * the kernel has ended the processes.
 */
int32_t mgr_close(mgr_t manager);

/**
 * Gives back the handle of a manager or scope. A manager is closed first, as by mgr_close. Of a scope, the
 * processes are left alone. Calls that are under way in other threads go on.
 *
 * Returns:
 * - MGR_OK
 * - MGR_ERR_HANDLE
 * - MGR_ERR_IO: as for mgr_close. The handle is released all the same.
 *
 * Blocks: as mgr_close for a manager, unless mgr_close has failed before; not for a scope.
 */
int32_t mgr_release(mgr_t manager);

/**
 * Ends the processes of hosts that have ended, whichever manager of theirs has started them. For a program
 * that was killed and starts again. Processes of a host that may
 * run are left alone, also if it cannot be looked at; so are those of hosts in other pid or time namespaces,
 * the calling program and its ancestors.
 *
 * Parameters:
 * - count: receives the number of processes that were ended; may be NULL.
 *
 * Returns:
 * - MGR_OK: nothing is left.
 * - MGR_ERR_IO: some have not ended after 10 seconds, or /proc cannot be read.
 * - MGR_ERR_HANDLE
 *
 * Blocks: until they have ended, at most 10 seconds.
 */
int32_t mgr_sweep_orphans(mgr_t manager, size_t *count);

/*
 * Options of a manager
 * --------------------
 */

/**
 * Makes a config: options for mgr_open, all at their defaults. A config can be used for any number of
 * managers. Changing or freeing it does not affect managers that are open.
 *
 * Parameters:
 * - config: receives the handle. Free it with mgr_config_free.
 *
 * Returns:
 * - MGR_OK
 * - MGR_ERR_INVALID: config is NULL.
 *
 * Blocks: no.
 */
int32_t mgr_config_new(mgr_config_t *config);

/**
 * Frees a config.
 *
 * Returns:
 * - MGR_OK
 * - MGR_ERR_HANDLE
 *
 * Blocks: no.
 */
int32_t mgr_config_free(mgr_config_t config);

/**
 * Sets the shell that runs commands, as SHELL -c COMMAND. Default: /bin/sh.
 *
 * Parameters:
 * - shell: the path of the shell; copied.
 *
 * Returns:
 * - MGR_OK
 * - MGR_ERR_INVALID: shell is NULL.
 * - MGR_ERR_HANDLE
 *
 * Blocks: no.
 */
int32_t mgr_config_shell(mgr_config_t config, const char *shell);

/**
 * Sets the working directory of processes whose request names none. If it is not a directory when a
 * process is started, the process runs in the home directory ($HOME of the host, then the password
 * database), else in the host's working directory. Default: none.
 *
 * Parameters:
 * - directory: the path; copied.
 *
 * Returns:
 * - MGR_OK
 * - MGR_ERR_INVALID: directory is NULL.
 * - MGR_ERR_HANDLE
 *
 * Blocks: no.
 */
int32_t mgr_config_directory(mgr_config_t config, const char *directory);

/**
 * Makes the base environment of processes empty. Fill it with mgr_config_variable. Default: a copy of the
 * host's environment, taken when the manager is opened. Later changes of the host's environment do not
 * reach its processes; use mgr_request_variable for those.
 *
 * Returns:
 * - MGR_OK
 * - MGR_ERR_HANDLE
 *
 * Blocks: no.
 */
int32_t mgr_config_clear_environment(mgr_config_t config);

/**
 * Sets a variable in the base environment of processes. The first call copies the host's environment,
 * unless mgr_config_clear_environment was called before.
 *
 * Parameters:
 * - name, value: the variable; copied. An invalid name is refused by mgr_open.
 *
 * Returns:
 * - MGR_OK
 * - MGR_ERR_INVALID: name or value is NULL.
 * - MGR_ERR_HANDLE
 *
 * Blocks: no.
 */
int32_t mgr_config_variable(mgr_config_t config, const char *name, const char *value);

/**
 * Sets the name of the environment variable that holds the owner of a process. Default: none.
 *
 * Parameters:
 * - name: the name; copied. An invalid name is refused by mgr_open.
 *
 * Returns:
 * - MGR_OK
 * - MGR_ERR_INVALID: name is NULL.
 * - MGR_ERR_HANDLE
 *
 * Blocks: no.
 */
int32_t mgr_config_owner_variable(mgr_config_t config, const char *name);

/**
 * Sets how processes are started. Most hosts keep the default, MGR_START_AUTOMATIC.
 *
 * Parameters:
 * - method: MGR_START_AUTOMATIC or MGR_START_STD.
 *
 * Returns:
 * - MGR_OK
 * - MGR_ERR_UNSUPPORTED: method is MGR_START_POSIX_SPAWN.
 * - MGR_ERR_INVALID: there is no such method.
 * - MGR_ERR_HANDLE
 *
 * Blocks: no.
 */
int32_t mgr_config_start_method(mgr_config_t config, int32_t method);

/**
 * Sets how many bytes of the beginning of each stream are kept. Default: 16,384.
 *
 * Parameters:
 * - bytes: up to 1 GiB. A number out of range is refused by mgr_open.
 *
 * Returns:
 * - MGR_OK
 * - MGR_ERR_HANDLE
 *
 * Blocks: no.
 */
int32_t mgr_config_head_bytes(mgr_config_t config, size_t bytes);

/**
 * Sets how many bytes of the end of each stream are kept. Default: 16,384.
 *
 * Parameters:
 * - bytes: 1 to 1 GiB. A number out of range is refused by mgr_open.
 *
 * Returns:
 * - MGR_OK
 * - MGR_ERR_HANDLE
 *
 * Blocks: no.
 */
int32_t mgr_config_tail_bytes(mgr_config_t config, size_t bytes);

/**
 * Sets the length of the longest line in the text of mgr_output. Of a longer line the
 * beginning and the end are shown, with " ... [N bytes] ... " between them. Default: 2,048.
 *
 * Parameters:
 * - bytes: the length in bytes; 0 is no limit.
 *
 * Returns:
 * - MGR_OK
 * - MGR_ERR_HANDLE
 *
 * Blocks: no.
 */
int32_t mgr_config_max_line_bytes(mgr_config_t config, size_t bytes);

/**
 * Sets how many processes may be live at the same time. A process is live until its leader and its output
 * have ended. Default: 1,024.
 *
 * Parameters:
 * - count: at least 1. 0 is refused by mgr_open.
 *
 * Returns:
 * - MGR_OK
 * - MGR_ERR_HANDLE
 *
 * Blocks: no.
 */
int32_t mgr_config_max_processes(mgr_config_t config, size_t count);

/**
 * Sets how many ended processes are kept. The oldest are dropped first. Default: 1,024.
 *
 * Parameters:
 * - count: any number.
 *
 * Returns:
 * - MGR_OK
 * - MGR_ERR_HANDLE
 *
 * Blocks: no.
 */
int32_t mgr_config_max_ended(mgr_config_t config, size_t count);

/**
 * Sets how long an ended process is kept, from the end of its leader or, if that is later, of its output.
 * Then it is dropped. Default: 300,000 (5 minutes).
 *
 * Parameters:
 * - time_ms: milliseconds; negative is without a limit.
 *
 * Returns:
 * - MGR_OK
 * - MGR_ERR_HANDLE
 *
 * Blocks: no.
 */
int32_t mgr_config_keep_ended_ms(mgr_config_t config, int64_t time_ms);

/**
 * Sets how long an ended process that was started with a key is kept. After that, its output is dropped;
 * its key and its final state are remembered. Default: 3,600,000 (1 hour).
 *
 * Parameters:
 * - time_ms: milliseconds; negative is without a limit.
 *
 * Returns:
 * - MGR_OK
 * - MGR_ERR_HANDLE
 *
 * Blocks: no.
 */
int32_t mgr_config_keep_keyed_ms(mgr_config_t config, int64_t time_ms);

/**
 * Sets the time between TERM and KILL for a process that has reached its time limit and for one whose key
 * is canceled. Default: 5,000.
 *
 * Parameters:
 * - grace_ms: milliseconds; with a negative number, KILL is never sent.
 *
 * Returns:
 * - MGR_OK
 * - MGR_ERR_HANDLE
 *
 * Blocks: no.
 */
int32_t mgr_config_stop_grace_ms(mgr_config_t config, int64_t grace_ms);

/**
 * Sets the time between TERM and KILL when the manager or a scope is closed. Default: 0, which sends KILL
 * at once.
 *
 * Parameters:
 * - grace_ms: milliseconds; with a negative number, KILL is never sent.
 *
 * Returns:
 * - MGR_OK
 * - MGR_ERR_HANDLE
 *
 * Blocks: no.
 */
int32_t mgr_config_close_grace_ms(mgr_config_t config, int64_t grace_ms);

/*
 * Requests
 * --------
 */

/**
 * Makes a request for a command that the manager's shell runs: SHELL -c COMMAND.
 *
 * A request describes what to start. It can be used for any number of starts, by several threads at the
 * same time. Changing or freeing it does not affect processes that were started with it. It is checked by
 * mgr_start.
 *
 * Parameters:
 * - command: the command; any bytes; copied.
 * - request: receives the handle. Free it with mgr_request_free.
 *
 * Returns:
 * - MGR_OK
 * - MGR_ERR_INVALID: an argument is NULL.
 *
 * Blocks: no.
 */
int32_t mgr_request_new(const char *command, mgr_request_t *request);

/**
 * Makes a request for a program that runs without a shell. Add its arguments with mgr_request_argument.
 *
 * Parameters:
 * - program: the program; any bytes; copied. A name without a slash is searched for in the PATH of the new
 *   process.
 * - request: receives the handle. Free it with mgr_request_free.
 *
 * Returns:
 * - MGR_OK
 * - MGR_ERR_INVALID: an argument is NULL.
 *
 * Blocks: no.
 */
int32_t mgr_request_new_program(const char *program, mgr_request_t *request);

/**
 * Frees a request. Processes that were started with it go on.
 *
 * Returns:
 * - MGR_OK
 * - MGR_ERR_HANDLE
 *
 * Blocks: no.
 */
int32_t mgr_request_free(mgr_request_t request);

/**
 * Adds an argument. Of a shell command, the arguments are the positional parameters; the first one is $0.
 *
 * Parameters:
 * - argument: any bytes; copied.
 *
 * Returns:
 * - MGR_OK
 * - MGR_ERR_INVALID: argument is NULL.
 * - MGR_ERR_HANDLE
 *
 * Blocks: no.
 */
int32_t mgr_request_argument(mgr_request_t request, const char *argument);

/**
 * Sets the working directory. If it does not exist, mgr_start fails. Default: the directory of
 * mgr_config_directory, else the home directory, else the host's working directory.
 *
 * Parameters:
 * - directory: the path, used as given; copied.
 *
 * Returns:
 * - MGR_OK
 * - MGR_ERR_INVALID: directory is NULL.
 * - MGR_ERR_HANDLE
 *
 * Blocks: no.
 */
int32_t mgr_request_directory(mgr_request_t request, const char *directory);

/**
 * Sets an environment variable. If a name is set more than once, the last value counts.
 *
 * Parameters:
 * - name, value: the variable; copied. An invalid name is refused by mgr_start.
 *
 * Returns:
 * - MGR_OK
 * - MGR_ERR_INVALID: name or value is NULL.
 * - MGR_ERR_HANDLE
 *
 * Blocks: no.
 */
int32_t mgr_request_variable(mgr_request_t request, const char *name, const char *value);

/**
 * Tags the process with an owner: a chat, a tenant, a job. Default: the owner of the scope that starts it,
 * else none.
 *
 * Parameters:
 * - owner: the owner; not empty, any bytes; copied.
 *
 * Returns:
 * - MGR_OK
 * - MGR_ERR_INVALID: owner is NULL.
 * - MGR_ERR_HANDLE
 *
 * Blocks: no.
 */
int32_t mgr_request_owner(mgr_request_t request, const char *owner);

/**
 * Marks the process as a background process. The mark is reported with the process and changes nothing
 * else.
 *
 * Parameters:
 * - background: 1 or 0 (the default).
 *
 * Returns:
 * - MGR_OK
 * - MGR_ERR_INVALID: background is neither 0 nor 1.
 * - MGR_ERR_HANDLE
 *
 * Blocks: no.
 */
int32_t mgr_request_background(mgr_request_t request, int32_t background);

/**
 * Sets a time limit. When it is reached, the process is ended: TERM, the manager's stop grace, KILL. If its
 * leader has ended before, what it left behind is ended, within a second of the limit.
 *
 * Parameters:
 * - limit_ms: milliseconds; negative (the default) is no limit. 0 is refused by mgr_start.
 *
 * Returns:
 * - MGR_OK
 * - MGR_ERR_HANDLE
 *
 * Blocks: no.
 */
int32_t mgr_request_time_limit_ms(mgr_request_t request, int64_t limit_ms);

/**
 * Makes standard error a stream of its own. Otherwise both are one stream, in the order of the writes. The
 * order between two separate streams is not known.
 *
 * Parameters:
 * - separate: 1 or 0 (the default).
 *
 * Returns:
 * - MGR_OK
 * - MGR_ERR_INVALID: separate is neither 0 nor 1.
 * - MGR_ERR_HANDLE
 *
 * Blocks: no.
 */
int32_t mgr_request_separate_streams(mgr_request_t request, int32_t separate);

/**
 * Keeps every byte until a mgr_read has returned it. When all bytes that are kept are unread and no more
 * fit, the process blocks in its next write, as on an ordinary pipe. For a process whose output is read to
 * its end. If several callers read the stream, bytes before the highest cursor of any of them may be
 * dropped.
 *
 * Parameters:
 * - lossless: 1 or 0 (the default).
 *
 * Returns:
 * - MGR_OK
 * - MGR_ERR_INVALID: lossless is neither 0 nor 1.
 * - MGR_ERR_HANDLE
 *
 * Blocks: no.
 */
int32_t mgr_request_lossless(mgr_request_t request, int32_t lossless);

/**
 * Makes the start idempotent: of all starts with this key, one starts a process. Every other start with an
 * equal request returns MGR_ATTACHED and that process. Keys of different owners are different keys.
 *
 * Parameters:
 * - key, length: 1 to 255 bytes of any kind; copied. A length out of range is refused by mgr_start.
 *
 * Returns:
 * - MGR_OK
 * - MGR_ERR_INVALID: key is NULL and length is not 0.
 * - MGR_ERR_HANDLE
 *
 * Blocks: no.
 */
int32_t mgr_request_key(mgr_request_t request, const void *key, size_t length);

/**
 * Sets the id of the process. Default: a random one. If the id is in use, mgr_start returns
 * MGR_ERR_CONFLICT, unless key and request are the same.
 *
 * Parameters:
 * - id: a UUID of 36 characters; copied.
 *
 * Returns:
 * - MGR_OK
 * - MGR_ERR_INVALID: id is NULL or not a UUID.
 * - MGR_ERR_HANDLE
 *
 * Blocks: no.
 */
int32_t mgr_request_id(mgr_request_t request, const char *id);

/**
 * Sets how long mgr_start waits while another caller starts the same key. After that it returns
 * MGR_TIMEOUT, and the other start goes on.
 *
 * Parameters:
 * - timeout_ms: milliseconds; negative (the default) waits without a limit.
 *
 * Returns:
 * - MGR_OK
 * - MGR_ERR_HANDLE
 *
 * Blocks: no.
 */
int32_t mgr_request_start_timeout_ms(mgr_request_t request, int64_t timeout_ms);

/*
 * Starting
 * --------
 */

/**
 * Starts a process. Returns when execve has succeeded.
 *
 * Parameters:
 * - request: what to start. The request can be changed or freed afterwards.
 * - id: receives the id of the process; may be NULL.
 * - error: receives why the start failed, with the step that failed; may be NULL. Set its struct_size.
 *   After a success its code is MGR_OK.
 *
 * Returns:
 * - MGR_OK: the process was started.
 * - MGR_ATTACHED: the key of the request was started before. Nothing was started; id names the process of
 *   the key.
 * - MGR_TIMEOUT: another caller is still starting the same key; see mgr_request_start_timeout_ms.
 * - MGR_ERR_INVALID: the request cannot be started on any system (empty command, invalid variable name, an
 *   argument or variable longer than 131,071 bytes), or its owner is not that of the scope.
 * - MGR_ERR_SPAWN: the system did not start it (no such directory or program, no permission, out of file
 *   descriptors, threads or processes); see errno and error. Later starts of the same key fail with the
 *   same error.
 * - MGR_ERR_LIMIT: max_processes processes are live, or 16,384 keys are remembered.
 * - MGR_ERR_CONFLICT: the key or the id belongs to a different request.
 * - MGR_ERR_CANCELED: the key was canceled.
 * - MGR_ERR_EXPIRED: the process of the key has ended and was dropped. mgr_cancel reports how it ended.
 * - MGR_ERR_UNSUPPORTED: the start method is not available on this system.
 * - MGR_ERR_CLOSED
 * - MGR_ERR_HANDLE
 *
 * After an error, nothing was started and nothing is left of the start.
 *
 * Blocks: until execve has succeeded or failed; with a key, also while another caller starts the same key.
 * mgr_cancel, mgr_close and the start timeout of the request end the latter.
 */
int32_t mgr_start(mgr_t manager, mgr_request_t request, struct mgr_id *id, struct mgr_error *error);

/*
 * Keys of idempotent starts
 * -------------------------
 */

/**
 * Makes sure that the process of a key does not run, now or later. If the key was never started, later
 * starts of it are refused. A process that is being started or runs is ended: TERM, the manager's stop
 * grace, KILL. One that has ended stays as it is.
 *
 * Parameters:
 * - key, length: 1 to 255 bytes. The owner of the key is that of the scope; a manager has none.
 * - timeout_ms: how long to wait for the end; negative is without a limit, 0 does not wait. The process is
 *   ended also after a timeout.
 * - process: receives the state of the process; may be NULL. Set its struct_size. The state is
 *   MGR_NEVER_STARTED if the key has not started a process, and MGR_STARTING if it is still being started;
 *   then the id is empty.
 *
 * Returns:
 * - MGR_OK: the process of the key does not run. ended_by is MGR_BY_CANCEL if this cancel has ended it.
 * - MGR_TIMEOUT: the timeout passed first.
 * - MGR_ERR_LIMIT: the key is new, and 16,384 keys are remembered already.
 * - MGR_ERR_CLOSED: the manager was closed while the key was being started.
 * - MGR_ERR_IO: out of threads; the process was not ended.
 * - MGR_ERR_INVALID
 * - MGR_ERR_HANDLE
 *
 * Blocks: until the process has ended, up to the timeout.
 */
int32_t mgr_cancel(mgr_t manager,
                   const void *key,
                   size_t length,
                   int64_t timeout_ms,
                   struct mgr_process *process);

/**
 * Finds the process that a key has started, also when the process was dropped.
 *
 * Parameters:
 * - key, length: 1 to 255 bytes. The owner of the key is that of the scope; a manager has none.
 * - id: receives the id of the process; may be NULL.
 *
 * Returns:
 * - MGR_OK
 * - MGR_ERR_NOT_FOUND: the key has not started a process, or not yet.
 * - MGR_ERR_INVALID
 * - MGR_ERR_HANDLE
 *
 * Blocks: no.
 */
int32_t mgr_find(mgr_t manager, const void *key, size_t length, struct mgr_id *id);

/**
 * Drops an ended process, and the record of its key if it has one. The key can then be started again. What
 * the process left behind goes on until the manager is closed.
 *
 * Returns:
 * - MGR_OK
 * - MGR_ERR_INVALID: id is NULL, or the process has not ended.
 * - MGR_ERR_NOT_FOUND
 * - MGR_ERR_HANDLE
 *
 * Blocks: no.
 */
int32_t mgr_forget(mgr_t manager, const char *id);

/**
 * Removes the record of a key. The key can then be started again. If the key has started a process, the
 * process must have ended, and is dropped.
 *
 * Parameters:
 * - key, length: 1 to 255 bytes. The owner of the key is that of the scope; a manager has none.
 *
 * Returns:
 * - MGR_OK
 * - MGR_ERR_NOT_FOUND: there is no record, or the key is being started.
 * - MGR_ERR_INVALID: the process of the key has not ended; or key is invalid.
 * - MGR_ERR_HANDLE
 *
 * Blocks: no.
 */
int32_t mgr_forget_key(mgr_t manager, const void *key, size_t length);

/*
 * The state of processes
 * ----------------------
 */

/**
 * Lists the processes: running ones first, newest first. Works on a closed manager too.
 *
 * Parameters:
 * - processes: an array that receives up to capacity processes; may be NULL if capacity is 0. Set the
 *   struct_size of the first element; it is the size of all.
 * - capacity: the number of elements. 0 only counts the processes.
 * - count: receives the total number of processes, which may be more than capacity; may be NULL.
 *
 * Returns:
 * - MGR_OK
 * - MGR_ERR_INVALID
 * - MGR_ERR_HANDLE
 *
 * Blocks: no.
 */
int32_t mgr_list(mgr_t manager, struct mgr_process *processes, size_t capacity, size_t *count);

/**
 * Reports the state of a process.
 *
 * Parameters:
 * - process: receives the state. Set its struct_size.
 *
 * Returns:
 * - MGR_OK
 * - MGR_ERR_NOT_FOUND: there is no such process, it has another owner, or it has ended and was dropped.
 * - MGR_ERR_EXPIRED: it was started with a key, has ended and was dropped. process holds its final state.
 * - MGR_ERR_INVALID
 * - MGR_ERR_HANDLE
 *
 * Blocks: no.
 */
int32_t mgr_inspect(mgr_t manager, const char *id, struct mgr_process *process);

/**
 * Waits for the end of a process: until its leader has ended and all output of the leader can be read.
 * Other processes that still hold the output are not waited for.
 *
 * Parameters:
 * - timeout_ms: how long to wait; negative is without a limit, 0 does not wait. The process goes on after
 *   a timeout.
 * - process: receives the state, also after MGR_TIMEOUT; may be NULL. Set its struct_size.
 *
 * Returns:
 * - MGR_OK: it has ended.
 * - MGR_TIMEOUT: it runs.
 * - MGR_ERR_CLOSED: mgr_close could not end it.
 * - MGR_ERR_EXPIRED: it was started with a key, has ended and was dropped. process holds its final state.
 * - MGR_ERR_NOT_FOUND
 * - MGR_ERR_INVALID
 * - MGR_ERR_HANDLE
 *
 * Blocks: until the process has ended, up to the timeout. mgr_close ends the process.
 */
int32_t mgr_wait(mgr_t manager, const char *id, int64_t timeout_ms, struct mgr_process *process);

/**
 * Reports the command of a process as it was requested. For a program without a shell: the program and its
 * arguments, with spaces between them.
 *
 * Parameters:
 * - buffer, capacity: receive the text. A NUL is added if there is room for it.
 * - length: receives the length of the text, without that NUL, also with MGR_ERR_BUFFER; may be NULL.
 *
 * Returns:
 * - MGR_OK
 * - MGR_ERR_BUFFER: capacity is less than the length of the text.
 * - MGR_ERR_EXPIRED: the process was started with a key, has ended and was dropped.
 * - MGR_ERR_NOT_FOUND
 * - MGR_ERR_INVALID
 * - MGR_ERR_HANDLE
 *
 * Blocks: no.
 */
int32_t mgr_command(mgr_t manager, const char *id, char *buffer, size_t capacity, size_t *length);

/**
 * Reports the working directory that a process was started in. Parameters and results are those of
 * mgr_command.
 *
 * Blocks: no.
 */
int32_t mgr_directory(mgr_t manager, const char *id, char *buffer, size_t capacity, size_t *length);

/**
 * Reports the owner of a process; an empty text if it has none. Parameters and results are those of
 * mgr_command.
 *
 * Blocks: no.
 */
int32_t mgr_owner(mgr_t manager, const char *id, char *buffer, size_t capacity, size_t *length);

/*
 * Output
 * ------
 */

/**
 * Reads the bytes of a stream from a cursor on. Any number of callers can read, each with its own cursor.
 * Callers do not affect each other, except in a lossless stream: bytes before the highest cursor of any
 * caller may be dropped. If bytes at the cursor were dropped, the read goes on at the first byte after them
 * that is kept.
 *
 * Parameters:
 * - stream: MGR_STDOUT or MGR_STDERR; MGR_READ_WHOLE_CHARACTERS and MGR_READ_UNTIL_END can be added.
 * - cursor: the position to read from, 0 at first; receives the position of the next read.
 * - buffer, capacity: receive the bytes. With capacity 0 (buffer may be NULL), the call reports whether
 *   there are any.
 * - length: receives the number of bytes in the buffer.
 * - lost: receives the number of dropped bytes between the old cursor and the first byte in the buffer;
 *   may be NULL.
 * - timeout_ms: how long to wait for the first byte; negative is without a limit, 0 does not wait.
 *
 * Returns:
 * - MGR_OK: there are bytes.
 * - MGR_TIMEOUT: no byte came in time. Call again.
 * - MGR_EOF: the stream has ended, and there are no bytes at or after the cursor.
 * - MGR_ENDED: only with MGR_READ_UNTIL_END. The process has ended and everything that it wrote was read.
 * - MGR_ERR_INVALID: an argument is invalid; the stream is MGR_STDERR and the streams are not separate; or
 *   the buffer is smaller than 4 bytes with MGR_READ_WHOLE_CHARACTERS.
 * - MGR_ERR_EXPIRED: the process was started with a key, has ended and was dropped.
 * - MGR_ERR_NOT_FOUND
 * - MGR_ERR_HANDLE
 *
 * Blocks: until there is a byte or the stream has ended, up to the timeout. mgr_close ends the stream.
 */
int32_t mgr_read(mgr_t manager,
                 const char *id,
                 int32_t stream,
                 uint64_t *cursor,
                 void *buffer,
                 size_t capacity,
                 size_t *length,
                 uint64_t *lost,
                 int64_t timeout_ms);

/**
 * Reports the output of a stream as a text of bounded size: the whole output, or its beginning and its end
 * with a note between them. The text is valid UTF-8. It is at most three times as long as what is kept,
 * plus the notes.
 *
 * Parameters:
 * - stream: MGR_STDOUT or MGR_STDERR.
 * - buffer, capacity: receive the text. A NUL is added if there is room for it. The text itself may
 *   contain NULs.
 * - length: receives the length of the text, without that NUL, also with MGR_ERR_BUFFER; may be NULL.
 * - truncation: receives how much of the output the text shows, also with MGR_ERR_BUFFER; may be NULL. Set
 *   its struct_size.
 *
 * Returns:
 * - MGR_OK
 * - MGR_ERR_BUFFER: capacity is less than the length of the text. Call again with a larger buffer. The
 *   text may have grown meanwhile if the process runs.
 * - MGR_ERR_EXPIRED: the process was started with a key, has ended and was dropped.
 * - MGR_ERR_NOT_FOUND
 * - MGR_ERR_INVALID
 * - MGR_ERR_HANDLE
 *
 * Blocks: no.
 */
int32_t mgr_output(mgr_t manager,
                   const char *id,
                   int32_t stream,
                   char *buffer,
                   size_t capacity,
                   size_t *length,
                   struct mgr_truncation *truncation);

/*
 * Signals and stopping
 * --------------------
 */

/**
 * Sends a signal to the process group of a process. Once the leader has ended, the signal is sent to each
 * process that it left behind. A signal never reaches an unrelated process.
 *
 * Parameters:
 * - signal: a number from <signal.h>: SIGKILL, SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGSTOP, SIGCONT, SIGUSR1
 *   or SIGUSR2.
 *
 * Returns:
 * - MGR_OK
 * - MGR_ERR_UNSUPPORTED: the signal is another one.
 * - MGR_ERR_NOT_RUNNING: the process has ended and nothing of it is left.
 * - MGR_ERR_IO: the system refused; or the leader has ended and the processes that it left behind cannot
 *   be searched for, because /proc is not mounted or the system is out of file descriptors.
 * - MGR_ERR_EXPIRED: the process was started with a key, has ended and was dropped.
 * - MGR_ERR_NOT_FOUND
 * - MGR_ERR_INVALID
 * - MGR_ERR_HANDLE
 *
 * Blocks: no.
 */
int32_t mgr_signal(mgr_t manager, const char *id, int32_t signal);

/**
 * Ends a process and everything that it left behind: sends TERM, waits up to the grace period, sends KILL,
 * and waits until all of it has ended. If nothing of it is left, it stays as it is; that is not an error.
 *
 * Parameters:
 * - grace_ms: the time between TERM and KILL, such as MGR_STOP_GRACE_MS; 0 sends KILL at once. With a
 *   negative number, KILL is never sent.
 * - process: receives the state of the process; may be NULL. Set its struct_size.
 *
 * Returns:
 * - MGR_OK: nothing of it is left.
 * - MGR_TIMEOUT: something of it has not ended 10 seconds after KILL, because it hangs in the kernel; or may
 *   not be signalled, because it is another user's.
 * - MGR_ERR_IO: its process group was ended, but processes that left the group cannot be searched for,
 *   because /proc is not mounted or the system is out of file descriptors.
 * - MGR_ERR_EXPIRED: the process was started with a key, has ended and was dropped.
 * - MGR_ERR_NOT_FOUND
 * - MGR_ERR_INVALID
 * - MGR_ERR_HANDLE
 *
 * Blocks: up to the grace period, then until the kernel has ended the processes, at most 10 seconds.
 */
int32_t mgr_stop(mgr_t manager, const char *id, int64_t grace_ms, struct mgr_process *process);

/**
 * Does what mgr_stop does on a thread of the library, and returns at once. MGR_EVENT_STOPPED is sent when
 * it is over. If such a stop of the process is under way that sends KILL no later, the call joins it: there is
 * one event for both.
 *
 * Parameters:
 * - grace_ms: as for mgr_stop.
 *
 * Returns:
 * - MGR_OK
 * - MGR_ERR_IO: out of threads.
 * - MGR_ERR_EXPIRED: the process was started with a key, has ended and was dropped.
 * - MGR_ERR_NOT_FOUND
 * - MGR_ERR_INVALID
 * - MGR_ERR_HANDLE
 *
 * Blocks: no.
 */
int32_t mgr_stop_begin(mgr_t manager,
                       const char *id,
                       int64_t grace_ms);

/*
 * Events
 * ------
 */

/**
 * Subscribes to the events of the processes that a manager or scope sees, from now on. Each event goes once
 * to each subscription, except MGR_EVENT_READABLE, which goes only to the subscription that watched the
 * stream. A subscription holds up to 16,384 events. Further ones are dropped and counted; MGR_EVENT_MISSED
 * reports the count.
 *
 * Parameters:
 * - events: receives the handle. Release it with mgr_events_release.
 *
 * Returns:
 * - MGR_OK
 * - MGR_ERR_INVALID: events is NULL.
 * - MGR_ERR_CLOSED
 * - MGR_ERR_HANDLE
 *
 * Blocks: no.
 */
int32_t mgr_events_open(mgr_t manager, mgr_events_t *events);

/**
 * Ends a subscription. A mgr_events_next that waits in another thread returns MGR_ERR_CLOSED.
 *
 * Returns:
 * - MGR_OK
 * - MGR_ERR_HANDLE
 *
 * Blocks: no.
 */
int32_t mgr_events_release(mgr_events_t events);

/**
 * Takes the next event.
 *
 * Parameters:
 * - timeout_ms: how long to wait for an event; negative is without a limit, 0 does not wait.
 * - event: receives the event. Set its struct_size.
 *
 * Returns:
 * - MGR_OK
 * - MGR_TIMEOUT: no event came in time.
 * - MGR_ERR_CLOSED: all events were taken and none will follow, because the manager was closed or the
 *   subscription released.
 * - MGR_ERR_INVALID
 * - MGR_ERR_HANDLE
 *
 * Blocks: until there is an event, up to the timeout. mgr_close of the manager and mgr_events_release end
 * it.
 */
int32_t mgr_events_next(mgr_events_t events, int64_t timeout_ms, struct mgr_event *event);

/**
 * Reports a descriptor that is readable while there may be an event, for the host's own loop (poll,
 * epoll). When it is readable, call mgr_events_next with a timeout of 0 until it returns MGR_TIMEOUT.
 *
 * Parameters:
 * - descriptor: receives the descriptor. It belongs to the subscription: do not read from it and do not
 *   close it. mgr_events_release closes it.
 *
 * Returns:
 * - MGR_OK
 * - MGR_ERR_IO: out of file descriptors.
 * - MGR_ERR_INVALID: descriptor is NULL.
 * - MGR_ERR_HANDLE
 *
 * Blocks: no.
 */
int32_t mgr_events_descriptor(mgr_events_t events, int32_t *descriptor);

/**
 * Requests one MGR_EVENT_READABLE: when a byte at or after the cursor is available, the process has ended,
 * or the stream has ended; immediately if that is already so. The end of the process is reported once per
 * subscription; after that, only bytes and the end of the stream are. A second call before the event
 * replaces the cursor.
 *
 * With this, one thread can follow any number of processes: it reads with a timeout of 0, watches the
 * streams that had nothing, and waits in mgr_events_next.
 *
 * Parameters:
 * - manager: a manager or scope that sees the process.
 * - stream: MGR_STDOUT or MGR_STDERR.
 * - cursor: a position in the stream, as mgr_read reports it.
 *
 * Returns:
 * - MGR_OK
 * - MGR_ERR_EXPIRED: the process was started with a key, has ended and was dropped.
 * - MGR_ERR_NOT_FOUND
 * - MGR_ERR_INVALID
 * - MGR_ERR_HANDLE
 *
 * Blocks: no.
 */
int32_t mgr_events_watch(mgr_events_t events, mgr_t manager, const char *id, int32_t stream, uint64_t cursor);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* PROCMGR_H */
