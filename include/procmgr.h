/*
 * procmgr: starts shell commands for a host program, keeps a bounded picture of what each one printed, says exactly how
 * each one ended, and never leaves one behind.
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
 *
 *         check(mgr_open(0, &manager), "open");
 *         check(mgr_request_new(argc > 1 ? argv[1] : "echo hello; exit 3", &request), "request");
 *         check(mgr_start(manager, request, &id, NULL), "start");
 *         mgr_request_free(request);
 *         while (mgr_read(manager, id.text, MGR_STDOUT | MGR_READ_UNTIL_END, &cursor, buffer, sizeof buffer, &length,
 *                         NULL, -1) == MGR_OK)
 *             fwrite(buffer, 1, length, stdout);
 *         check(mgr_wait(manager, id.text, -1, &process), "wait");
 *         printf("exit code %d\n", (int)process.exit_code);
 *         mgr_release(manager); // ends whatever is left
 *         return 0;
 *     }
 *
 *
 * Results
 * -------
 *
 * Every function but mgr_strerror, mgr_version and mgr_version_number returns an int32_t: MGR_OK (0), a positive code for
 * an outcome that is no error, or a negative one for an error. After an error errno holds the operating system's error,
 * or 0 where it had no part in it. Results go out through pointers, which may be NULL where a result is not wanted; after
 * an error they are left as they were unless the function says otherwise.
 *
 * Handles and memory
 * ------------------
 *
 * Handles are numbers. 0 is never one, and no number is used twice, so that a handle that was given back, or was never
 * one, is answered with MGR_ERR_HANDLE and does no harm. Each kind has a function that gives it back: mgr_release,
 * mgr_config_free, mgr_request_free, mgr_events_release. All other memory is the caller's: nothing that the library
 * allocates has to be freed, nothing that is passed in is kept. Structs that receive results begin with struct_size, which
 * the caller sets to the struct's size; the library never writes past it, and takes a size from a later version of this
 * header. A buffer that is too small is answered with MGR_ERR_BUFFER and the length that is needed.
 *
 * Text is bytes that end with a NUL; it need not be UTF-8. Times are milliseconds: a negative timeout waits for ever, and 0
 * does not wait. Positions and counts of bytes are 64 bits wide.
 *
 * Threads, signals, fork
 * ----------------------
 *
 * Every function may be called from any thread at any time, on the same handle too, while another thread closes it. A call
 * that waits says what ends the waiting; closing the manager always does. The library has threads of its own, two for
 * each live process, which block every signal and never call back into the host. It installs no signal handler, waits for
 * no child but its own, and changes neither environment, directory, limits nor signal masks of the host. In a forked copy
 * of the host every call answers MGR_ERR_FORKED.
 *
 * Versions
 * --------
 *
 * Within a major version functions and struct fields are added and never changed. MGR_VERSION_NUMBER is the version of
 * this header, mgr_version_number() that of the library that runs.
 */

#ifndef PROCMGR_H
#define PROCMGR_H

#include <stddef.h>
#include <stdint.h>

/* The version of this header. */
#define MGR_VERSION "0.1.0"


/** Standard output; standard error too, unless the streams are separate. */
#define MGR_STDOUT 0

/** Standard error, if the streams are separate. */
#define MGR_STDERR 1

/**
 * Added to the stream in mgr_read: a chunk never ends inside a UTF-8 character, unless the stream has ended there. The
 * buffer must hold at least 4 bytes.
 */
#define MGR_READ_WHOLE_CHARACTERS 256

/**
 * Added to the stream in mgr_read: answer MGR_ENDED, instead of waiting on, once the process has ended and all that it
 * had written was read, even though something that it left behind may still write.
 */
#define MGR_READ_UNTIL_END 512

/** State: the leader has not ended. */
#define MGR_RUNNING 0

/** State: the leader ended by itself; see exit_code. */
#define MGR_EXITED 1

/** State: a signal ended the leader; see signal. */
#define MGR_SIGNALED 2

/** State: the leader has ended and nobody can know how: the host reaped it, or ignores SIGCHLD. */
#define MGR_LOST 3

/** State, of mgr_cancel only: the key has started nothing, and never will. */
#define MGR_NEVER_STARTED 4

/** State, of mgr_cancel only: the key is still being started, and what comes of it will be ended. */
#define MGR_STARTING 5

/** Ended by: nobody asked for it, or it has not ended. */
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

/** Start method: the best that the system has. */
#define MGR_START_AUTOMATIC 0

/** Start method: a posix_spawn that cleans what a child must not inherit, and never forks. */
#define MGR_START_POSIX_SPAWN 1

/** Start method: Rust's standard library, which forks when the host has something that a child must not inherit. */
#define MGR_START_STD 2

/** The grace period between TERM and KILL that mgr_stop is usually called with, in milliseconds. */
#define MGR_STOP_GRACE_MS 5000

/** Event: the process was started. */
#define MGR_EVENT_STARTED 1

/** Event: its leader has ended, and all that it wrote can be read. */
#define MGR_EVENT_ENDED 2

/** Event: nobody will write to any of its streams any more. */
#define MGR_EVENT_OUTPUT_CLOSED 3

/** Event: what mgr_events_watch asked for: there is something to read past the cursor, or nothing more will come for now. */
#define MGR_EVENT_READABLE 4

/** Event: what mgr_stop_begin began is over. */
#define MGR_EVENT_STOPPED 5

/** Event: the queue was full, and some events were dropped. Look at everything once. */
#define MGR_EVENT_MISSED 6

/** Done. */
#define MGR_OK 0

/** `mgr_start`: the key had been started before; `id` names that process. */
#define MGR_ATTACHED 1

/** The time ended first; outputs hold the present state. */
#define MGR_TIMEOUT 2

/** `mgr_read`: nothing will ever follow this cursor. */
#define MGR_EOF 3

/**
 * `mgr_read` with MGR_READ_UNTIL_END: the process has ended and all that it wrote was read; something that it left
 * behind may still write.
 */
#define MGR_ENDED 4

/** An argument is not acceptable. */
#define MGR_ERR_INVALID -1

/** No such handle: never made, released, or of another kind. */
#define MGR_ERR_HANDLE -2

/** The manager is closed. */
#define MGR_ERR_CLOSED -3

/** No such process or key here. */
#define MGR_ERR_NOT_FOUND -4

/** The process has ended and nothing of it is left. */
#define MGR_ERR_NOT_RUNNING -5

/** The command could not be started. */
#define MGR_ERR_SPAWN -6

/** A configured limit is reached. */
#define MGR_ERR_LIMIT -7

/** The key belongs to a different request. */
#define MGR_ERR_CONFLICT -8

/** The key was canceled before it started. */
#define MGR_ERR_CANCELED -9

/** The process is known and its output is gone. */
#define MGR_ERR_EXPIRED -10

/** The buffer is too small; the needed length is reported. */
#define MGR_ERR_BUFFER -11

/** The operating system refused; see `errno`. */
#define MGR_ERR_IO -12

/** Called in a forked copy of the host. */
#define MGR_ERR_FORKED -13

/** Not on this platform. */
#define MGR_ERR_UNSUPPORTED -14

/** A defect in procmgr; the manager stays usable. */
#define MGR_ERR_PANIC -15

/** `mgr_error`: no step of a start failed. */
#define MGR_STEP_NONE 0

/** `mgr_error`: getting the threads of the process failed. */
#define MGR_STEP_THREAD 1

/** `mgr_error`: making the pipes failed. */
#define MGR_STEP_PIPE 2

/** `mgr_error`: making the process failed. */
#define MGR_STEP_PROCESS 3

/** `mgr_error`: entering the working directory failed. */
#define MGR_STEP_DIRECTORY 4

/** `mgr_error`: executing the program failed. */
#define MGR_STEP_EXECUTE 5

/** The version of this header as a number: major * 1,000,000 + minor * 1,000 + patch. */
#define MGR_VERSION_NUMBER 1000

/** Options for mgr_open. */
typedef uint64_t mgr_config_t;

/** A manager or a scope. 0 is never valid, and a number is never used again. */
typedef uint64_t mgr_t;

/** The id of a process: a UUID of 36 characters and a NUL. */
typedef struct mgr_id {
    /** The text, for every function that takes an id. */
    char text[37];
} mgr_id;

/** What to start. */
typedef uint64_t mgr_request_t;

/** Why a start failed. Set struct_size before the call. */
typedef struct mgr_error {
    /** sizeof(mgr_error), set by the caller. No more than this is written. */
    size_t struct_size;
    /** The code that the function returned. */
    int32_t code;
    /** The operating system's error number (errno), or 0. */
    int32_t os_error;
    /** The step of the start that failed: MGR_STEP_NONE or one of its neighbours. */
    int32_t step;
    /** What went wrong, in one line that names the offender; ends with a NUL, and is cut if it does not fit. */
    char message[500];
} mgr_error;

/** Where a process stands. Set struct_size to sizeof(mgr_process) before each call that fills one. */
typedef struct mgr_process {
    /** sizeof(mgr_process), set by the caller. No more than this is written. */
    size_t struct_size;
    /** The id. */
    struct mgr_id id;
    /**
     * The pid of the leader, which is the number of its process group. Once the leader has ended the number may be
     * another process's.
     */
    int32_t pid;
    /** MGR_RUNNING, MGR_EXITED, MGR_SIGNALED or MGR_LOST; from mgr_cancel also MGR_NEVER_STARTED or MGR_STARTING. */
    int32_t state;
    /** The exit code; -1 unless the state is MGR_EXITED. */
    int32_t exit_code;
    /** The signal that ended the leader; 0 unless the state is MGR_SIGNALED. */
    int32_t signal;
    /** 1 if it left a core dump. */
    int32_t core_dumped;
    /** Who asked for the end: one of MGR_BY_NOBODY and its neighbours. */
    int32_t ended_by;
    /** 1 if the request said that nobody waits for it. */
    int32_t background;
    /** 1 while somebody may still write to the output: the leader, or something that it left behind. */
    int32_t output_open;
    /** When it was started: milliseconds of Unix time. */
    int64_t started_at_ms;
    /** When it ended: milliseconds of Unix time, 0 while it runs. */
    int64_t ended_at_ms;
    /** How long it has run, or did, by a clock that is never set: microseconds. */
    int64_t duration_us;
    /** Bytes of output so far, all streams together, kept or not. */
    uint64_t output_bytes;
    /** CPU time of the leader, and of the children that it waited for, in user mode: microseconds, 0 while it runs. */
    int64_t user_us;
    /** The same in the kernel. */
    int64_t system_us;
    /** Peak resident memory of the leader, or of the largest child that it waited for: KiB, 0 while it runs. */
    uint64_t max_rss_kib;
} mgr_process;

/** How the text of mgr_output and the output that it was made from differ. Set struct_size before the call. */
typedef struct mgr_truncation {
    /** sizeof(mgr_truncation), set by the caller. No more than this is written. */
    size_t struct_size;
    /** 1 if the text does not show every byte of the output. */
    int32_t truncated;
    /** Bytes of the output. */
    uint64_t original_bytes;
    /** Bytes of the text. */
    uint64_t retained_bytes;
    /** Bytes of the output that the text does not show: those between beginning and end and those cut from long lines. */
    uint64_t omitted_bytes;
} mgr_truncation;

/** A subscription to events. */
typedef uint64_t mgr_events_t;

/** Something that happened. Set struct_size before the call. */
typedef struct mgr_event {
    /** sizeof(mgr_event), set by the caller. No more than this is written. */
    size_t struct_size;
    /** MGR_EVENT_STARTED or one of its neighbours. */
    int32_t kind;
    /** The stream of MGR_EVENT_READABLE: MGR_STDOUT or MGR_STDERR. */
    int32_t stream;
    /** How many events were dropped, of MGR_EVENT_MISSED. */
    uint64_t missed;
    /** The process; empty for MGR_EVENT_MISSED. */
    struct mgr_id id;
} mgr_event;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The meaning of a code in one line of English. Never NULL, also for a code that does not exist; the text lives as long
 * as the library. Does not block, and works in a forked copy of the host.
 */
const char *mgr_strerror(int32_t code);

/**
 * The version of the library that runs, such as "0.1.0". Compare it with MGR_VERSION, the version of the header. The
 * text lives as long as the library.
 */
const char *mgr_version(void);

/**
 * The version of the library that runs as a number: major * 1,000,000 + minor * 1,000 + patch. Compare it with
 * MGR_VERSION_NUMBER.
 */
int32_t mgr_version_number(void);

/**
 * Opens a manager: a registry of processes, with threads of its own.
 *
 * config: options, or 0 for all defaults.
 * manager: receives the handle; give it back with mgr_release.
 *
 * MGR_OK; MGR_ERR_INVALID if manager is NULL or an option is out of range; MGR_ERR_HANDLE if these are no options;
 * MGR_ERR_IO if there is no thread or no descriptor to be had (it holds two until it is closed). Does not block.
 */
int32_t mgr_open(mgr_config_t config,
                 mgr_t *manager);

/**
 * Makes a view of a manager that sees, starts and ends only one owner's processes. Every function that takes a manager
 * takes a scope. A scope of a scope must be of the same owner.
 *
 * owner: any bytes but none; copied.
 * scope: receives the handle; give it back with mgr_release, which leaves the processes alone.
 *
 * MGR_OK; MGR_ERR_INVALID if an argument is NULL, or the owner empty or another scope's; MGR_ERR_HANDLE;
 * MGR_ERR_CLOSED. Does not block.
 */
int32_t mgr_scope(mgr_t manager,
                  const char *owner,
                  mgr_t *scope);

/**
 * The name of this manager among all that ever were: by it a caller can tell "never started here" from "started by
 * another instance".
 *
 * instance: receives it.
 *
 * MGR_OK; MGR_ERR_INVALID; MGR_ERR_HANDLE. Does not block.
 */
int32_t mgr_instance(mgr_t manager,
                     struct mgr_id *instance);

/**
 * Refuses new starts, ends every process that the manager or scope sees, with everything that these left behind, and
 * waits for that. Then every other call that waits on these processes returns. Ended processes can still be read,
 * until the handle is released. Closing again changes nothing.
 *
 * MGR_OK; MGR_ERR_HANDLE; MGR_ERR_IO if the kernel did not end a process within 10 seconds of KILL, or if what left a
 * process group cannot be looked for, because /proc is not mounted or there is no descriptor to be had; closing again
 * tries again then. Blocks for the manager's close grace (default 0) and the kernel's work.
 */
int32_t mgr_close(mgr_t manager);

/**
 * Gives the handle of a manager or scope back. Of a manager this closes it first, as mgr_close does; of a scope it
 * leaves the processes alone. Calls that are under way in other threads end as they would have.
 *
 * MGR_OK; MGR_ERR_HANDLE. Blocks as mgr_close does for a manager, and not for a scope.
 */
int32_t mgr_release(mgr_t manager);

/**
 * Ends what hosts that are gone have left behind, whichever manager of theirs started it. Touches nothing of a host that
 * lives. For a program that was killed and starts again.
 *
 * count: receives how many processes were ended; may be NULL.
 *
 * MGR_OK; MGR_ERR_IO if something is left after 10 seconds, or there is no process table to look through; MGR_ERR_HANDLE.
 * Blocks for as long as the kernel takes to end them.
 */
int32_t mgr_sweep_orphans(mgr_t manager,
                          size_t *count);

/**
 * Makes options for mgr_open, all at their defaults. Options may be used for any number of managers, and be changed or
 * freed after mgr_open without changing a manager that is open.
 *
 * config: receives the handle; give it back with mgr_config_free.
 *
 * MGR_OK; MGR_ERR_INVALID if config is NULL. Does not block.
 */
int32_t mgr_config_new(mgr_config_t *config);

/**
 * Gives options back. Managers opened with them keep them.
 *
 * MGR_OK; MGR_ERR_HANDLE if these are no options. Does not block.
 */
int32_t mgr_config_free(mgr_config_t config);

/**
 * The shell that runs commands, as SHELL -c COMMAND. Default: /bin/sh.
 *
 * MGR_OK; MGR_ERR_INVALID if shell is NULL; MGR_ERR_HANDLE. The text is copied. Does not block.
 */
int32_t mgr_config_shell(mgr_config_t config, const char *shell);

/**
 * Where requests without a directory run, if it is a directory then; else in the home directory ($HOME, then the
 * password database), else in the host's own. Default: none.
 *
 * MGR_OK; MGR_ERR_INVALID if directory is NULL; MGR_ERR_HANDLE. The text is copied. Does not block.
 */
int32_t mgr_config_directory(mgr_config_t config,
                             const char *directory);

/**
 * Starts processes with an environment of their own instead of the host's: empty at first, and filled by
 * mgr_config_variable. Default: the host's environment as it is when the manager is opened. What the host changes in its
 * own environment after that does not reach its processes; mgr_request_variable does.
 *
 * MGR_OK; MGR_ERR_HANDLE. Does not block.
 */
int32_t mgr_config_clear_environment(mgr_config_t config);

/**
 * Sets a variable of the environment that processes are started with instead of the host's. The first call takes the
 * host's environment as it is then, unless mgr_config_clear_environment was called before.
 *
 * MGR_OK; MGR_ERR_INVALID if name or value is NULL; MGR_ERR_HANDLE. A name that cannot be one is refused by mgr_open.
 * The texts are copied. Does not block.
 */
int32_t mgr_config_variable(mgr_config_t config,
                            const char *name,
                            const char *value);

/**
 * The variable in which a process finds its owner. Default: none.
 *
 * MGR_OK; MGR_ERR_INVALID if name is NULL; MGR_ERR_HANDLE. The text is copied. Does not block.
 */
int32_t mgr_config_owner_variable(mgr_config_t config, const char *name);

/**
 * How processes are started, for those who must have one way: MGR_START_AUTOMATIC (the default), MGR_START_POSIX_SPAWN
 * (starts answer MGR_ERR_UNSUPPORTED where the C library cannot do it, as before glibc 2.34) or MGR_START_STD.
 *
 * MGR_OK; MGR_ERR_INVALID for another number; MGR_ERR_HANDLE. Does not block.
 */
int32_t mgr_config_start_method(mgr_config_t config,
                                int32_t method);

/**
 * How many bytes at the beginning of each stream are kept, up to 1 GiB. Default: 16,384.
 *
 * MGR_OK; MGR_ERR_HANDLE. A number out of range is refused by mgr_open. Does not block.
 */
int32_t mgr_config_head_bytes(mgr_config_t config, size_t bytes);

/**
 * How many bytes at the end of each stream are kept, from 1 to 1 GiB. Default: 16,384.
 *
 * MGR_OK; MGR_ERR_HANDLE. A number out of range is refused by mgr_open. Does not block.
 */
int32_t mgr_config_tail_bytes(mgr_config_t config, size_t bytes);

/**
 * The longest line in the text of mgr_output, in bytes; 0 for no limit. Default: 2,048.
 *
 * MGR_OK; MGR_ERR_HANDLE. Does not block.
 */
int32_t mgr_config_max_line_bytes(mgr_config_t config, size_t bytes);

/**
 * How many processes may live at once; one lives while its leader runs or its output is open. Default: 1,024.
 *
 * MGR_OK; MGR_ERR_HANDLE. Zero is refused by mgr_open. Does not block.
 */
int32_t mgr_config_max_processes(mgr_config_t config, size_t count);

/**
 * How many ended processes are kept; the oldest are dropped first. Default: 1,024.
 *
 * MGR_OK; MGR_ERR_HANDLE. Does not block.
 */
int32_t mgr_config_max_ended(mgr_config_t config, size_t count);

/**
 * How long an ended process is kept, in milliseconds; negative is for ever. Default: 300,000 (5 minutes).
 *
 * MGR_OK; MGR_ERR_HANDLE. Does not block.
 */
int32_t mgr_config_keep_ended_ms(mgr_config_t config, int64_t time_ms);

/**
 * How long an ended process that was started with a key is kept, in milliseconds; negative is for ever. What its key has
 * started, and how that ended, is remembered after that. Default: 3,600,000 (1 hour).
 *
 * MGR_OK; MGR_ERR_HANDLE. Does not block.
 */
int32_t mgr_config_keep_keyed_ms(mgr_config_t config,
                                 int64_t time_ms);

/**
 * The time between TERM and KILL when the time limit of a request expires and when a key is canceled, in milliseconds; negative never sends KILL.
 * Default: 5,000.
 *
 * MGR_OK; MGR_ERR_HANDLE. Does not block.
 */
int32_t mgr_config_stop_grace_ms(mgr_config_t config,
                                 int64_t grace_ms);

/**
 * The time between TERM and KILL when the manager or a scope is closed, in milliseconds; negative never sends KILL.
 * Default: 0, KILL at once.
 *
 * MGR_OK; MGR_ERR_HANDLE. Does not block.
 */
int32_t mgr_config_close_grace_ms(mgr_config_t config,
                                  int64_t grace_ms);

/**
 * Makes a request for a command that the manager's shell runs: SHELL -c COMMAND.
 *
 * A request is a description: it may be used for any number of starts, also by several threads, and be changed or freed
 * after a start without changing what was started. It is checked when it is started.
 *
 * command: any bytes; copied.
 * request: receives the handle; give it back with mgr_request_free.
 *
 * MGR_OK; MGR_ERR_INVALID if an argument is NULL. Does not block.
 */
int32_t mgr_request_new(const char *command,
                        mgr_request_t *request);

/**
 * Makes a request for a program that runs without a shell. A name without a slash is looked up in the PATH of the new
 * process. Its arguments are added with mgr_request_argument.
 *
 * program: any bytes; copied.
 * request: receives the handle; give it back with mgr_request_free.
 *
 * MGR_OK; MGR_ERR_INVALID if an argument is NULL. Does not block.
 */
int32_t mgr_request_new_program(const char *program,
                                mgr_request_t *request);

/**
 * Gives a request back. What was started with it goes on.
 *
 * MGR_OK; MGR_ERR_HANDLE if this is no request. Does not block.
 */
int32_t mgr_request_free(mgr_request_t request);

/**
 * Adds an argument. For a shell command these are its positional parameters, the first one being $0.
 *
 * MGR_OK; MGR_ERR_INVALID if argument is NULL; MGR_ERR_HANDLE. The text is copied. Does not block.
 */
int32_t mgr_request_argument(mgr_request_t request, const char *argument);

/**
 * The directory to run in, used as given. Without one: the manager's, else the home directory, else the host's.
 *
 * MGR_OK; MGR_ERR_INVALID if directory is NULL; MGR_ERR_HANDLE. The text is copied. Does not block.
 */
int32_t mgr_request_directory(mgr_request_t request,
                              const char *directory);

/**
 * Sets an environment variable; the last value of a name counts.
 *
 * MGR_OK; MGR_ERR_INVALID if name or value is NULL; MGR_ERR_HANDLE. A name that cannot be one is refused by mgr_start.
 * The texts are copied. Does not block.
 */
int32_t mgr_request_variable(mgr_request_t request,
                             const char *name,
                             const char *value);

/**
 * Tags the process with an owner: a chat, a tenant, a job. Any bytes but none.
 *
 * MGR_OK; MGR_ERR_INVALID if owner is NULL; MGR_ERR_HANDLE. The text is copied. Does not block.
 */
int32_t mgr_request_owner(mgr_request_t request, const char *owner);

/**
 * Marks the process as one that nobody waits for (1) or not (0, the default). Reported with the process; changes
 * nothing else.
 *
 * MGR_OK; MGR_ERR_INVALID for another number; MGR_ERR_HANDLE. Does not block.
 */
int32_t mgr_request_background(mgr_request_t request,
                               int32_t background);

/**
 * Ends the process after this many milliseconds: TERM, the manager's grace period, KILL. Negative, the default, is no
 * limit.
 *
 * MGR_OK; MGR_ERR_HANDLE. Zero is refused by mgr_start. Does not block.
 */
int32_t mgr_request_time_limit_ms(mgr_request_t request,
                                  int64_t limit_ms);

/**
 * Keeps standard error apart from standard output, as a stream of its own (1), or not (0, the default). The order
 * between the two is lost.
 *
 * MGR_OK; MGR_ERR_INVALID for another number; MGR_ERR_HANDLE. Does not block.
 */
int32_t mgr_request_separate_streams(mgr_request_t request,
                                     int32_t separate);

/**
 * Never drops a byte that no mgr_read has returned yet (1), or does (0, the default). When all that is kept is unread,
 * the process waits in its next write, as on an ordinary pipe. For a process that somebody follows to its end.
 *
 * MGR_OK; MGR_ERR_INVALID for another number; MGR_ERR_HANDLE. Does not block.
 */
int32_t mgr_request_lossless(mgr_request_t request,
                             int32_t lossless);

/**
 * Makes the start idempotent: however often it is asked for with this key, one process is started, and every start with
 * an equal request gives it (MGR_ATTACHED). Keys of different owners are different keys.
 *
 * key, length: 1 to 255 bytes of any kind; copied.
 *
 * MGR_OK; MGR_ERR_INVALID if key is NULL and length is not 0; MGR_ERR_HANDLE. A length out of range is refused by
 * mgr_start. Does not block.
 */
int32_t mgr_request_key(mgr_request_t request,
                        const void *key,
                        size_t length);

/**
 * The id that the process shall have, instead of a random one: a UUID of 36 characters. One that is known already is
 * answered by mgr_start with MGR_ERR_CONFLICT, unless key and request are the same.
 *
 * MGR_OK; MGR_ERR_INVALID if id is NULL or no UUID; MGR_ERR_HANDLE. The text is copied. Does not block.
 */
int32_t mgr_request_id(mgr_request_t request,
                       const char *id);

/**
 * How long a start with a key waits, in milliseconds, for another one that is starting the same key; then mgr_start
 * answers MGR_TIMEOUT, and the other start goes on. Negative, the default, waits for as long as that takes.
 *
 * MGR_OK; MGR_ERR_HANDLE. Does not block.
 */
int32_t mgr_request_start_timeout_ms(mgr_request_t request,
                                     int64_t timeout_ms);

/**
 * Starts what the request describes. Returns when the program has been executed.
 *
 * id: receives the id of the process; may be NULL.
 * error: receives the reason of a failure, with the step of the start that failed; may be NULL. Set its struct_size.
 *
 * MGR_OK. MGR_ATTACHED: the request's key had been started before; nothing was started, and id names that process.
 * MGR_TIMEOUT: another start of the same key is still under way; see mgr_request_start_timeout_ms.
 * On an error nothing was started and nothing is left of it:
 * MGR_ERR_INVALID if the request cannot be started by anybody (empty command, bad variable name, an argument or
 * variable over 131,071 bytes) or belongs to another owner than the scope; MGR_ERR_SPAWN if the system did not start it
 * (no such directory or program, no permission, no more descriptors, threads or processes), see errno and error;
 * MGR_ERR_LIMIT if max_processes live already, or 16,384 keys are remembered; MGR_ERR_CONFLICT if the key or the id
 * belongs to a different request; MGR_ERR_CANCELED if the key was canceled before; MGR_ERR_EXPIRED if what the key has
 * started has ended and was dropped, and mgr_cancel tells how it ended; MGR_ERR_CLOSED; MGR_ERR_HANDLE. A key whose
 * start failed gets the same failure again.
 *
 * Blocks for as long as the kernel takes to execute the program, and with a key for as long as another start of the
 * same key takes; mgr_cancel, mgr_close and the request's start timeout end that waiting.
 */
int32_t mgr_start(mgr_t manager,
                  mgr_request_t request,
                  struct mgr_id *id,
                  struct mgr_error *error);

/**
 * Makes sure that a key is not started any more: what was never started never will be, what is being started or runs is
 * ended (TERM, the manager's stop grace, KILL), what has ended stays as it is.
 *
 * key, length: 1 to 255 bytes. The owner is that of the scope; none for a manager.
 * timeout_ms: how long to wait for that; negative is for as long as it takes, 0 does not wait. The ending goes on.
 * process: receives what came of it; may be NULL. Set its struct_size. Its state is MGR_NEVER_STARTED if the key has
 * started nothing, and MGR_STARTING if it is still being started; then it has no id.
 *
 * MGR_OK: nothing of it runs; ended_by tells whether it was this cancel that ended it. MGR_TIMEOUT: the time was up
 * first. MGR_ERR_LIMIT: the key was never seen and 16,384 keys are remembered already; MGR_ERR_IO: no thread to end it;
 * MGR_ERR_INVALID; MGR_ERR_HANDLE. Works on a closed manager too.
 *
 * Blocks; ended by the end of the process and by the timeout.
 */
int32_t mgr_cancel(mgr_t manager,
                   const void *key,
                   size_t length,
                   int64_t timeout_ms,
                   struct mgr_process *process);

/**
 * The process that a key has started, also when its output is gone.
 *
 * key, length: 1 to 255 bytes. The owner is that of the scope; none for a manager.
 * id: receives its id; may be NULL.
 *
 * MGR_OK; MGR_ERR_NOT_FOUND if the key has started nothing (yet); MGR_ERR_INVALID; MGR_ERR_HANDLE. Does not block.
 */
int32_t mgr_find(mgr_t manager,
                 const void *key,
                 size_t length,
                 struct mgr_id *id);

/**
 * Drops an ended process and the record of its key, if it was started with one: the key is then as if it had never been
 * used. What it left behind goes on, until the manager is closed.
 *
 * MGR_OK; MGR_ERR_INVALID if the process has not ended; MGR_ERR_NOT_FOUND; MGR_ERR_HANDLE. Does not block.
 */
int32_t mgr_forget(mgr_t manager,
                   const char *id);

/**
 * Frees the record of a key that has started nothing, because its start failed or it was canceled before, or whose process
 * has ended: the key is then as if it had never been used.
 *
 * key, length: 1 to 255 bytes. The owner is that of the scope; none for a manager.
 *
 * MGR_OK; MGR_ERR_NOT_FOUND if there is no record of it; MGR_ERR_INVALID, also if its process has not ended;
 * MGR_ERR_HANDLE. Does not block.
 */
int32_t mgr_forget_key(mgr_t manager,
                       const void *key,
                       size_t length);

/**
 * Lists the processes: running ones first, newest first.
 *
 * processes: an array that receives up to capacity of them; may be NULL with capacity 0, which only counts them. Set
 * the struct_size of the first one: all elements have that size.
 * count: receives how many there are in all, which may be more than capacity; may be NULL.
 *
 * MGR_OK; MGR_ERR_INVALID; MGR_ERR_HANDLE. Works on a closed manager too. Does not block.
 */
int32_t mgr_list(mgr_t manager,
                 struct mgr_process *processes,
                 size_t capacity,
                 size_t *count);

/**
 * Where a process stands.
 *
 * process: receives it. Set its struct_size.
 *
 * MGR_OK; MGR_ERR_INVALID; MGR_ERR_NOT_FOUND if there is no such process here, or it is another owner's, or it ended
 * and was dropped; MGR_ERR_EXPIRED if it was started with a key, has ended and was dropped: process holds how it ended;
 * MGR_ERR_HANDLE. Does not block.
 */
int32_t mgr_inspect(mgr_t manager,
                    const char *id,
                    struct mgr_process *process);

/**
 * Waits for the end of a process: until its leader has ended and all that the leader wrote can be read, whoever else
 * may hold its output.
 *
 * timeout_ms: how long to wait; negative is for ever, 0 does not wait. It ends the waiting and never the process.
 * process: receives where the process stands, also after MGR_TIMEOUT; may be NULL. Set its struct_size.
 *
 * MGR_OK: it has ended. MGR_TIMEOUT: it runs. MGR_ERR_EXPIRED: it was started with a key, has ended and was dropped;
 * process holds how it ended. MGR_ERR_NOT_FOUND; MGR_ERR_INVALID; MGR_ERR_HANDLE.
 *
 * Blocks; ended by the end of the process, which mgr_close brings about, and by the timeout.
 */
int32_t mgr_wait(mgr_t manager,
                 const char *id,
                 int64_t timeout_ms,
                 struct mgr_process *process);

/**
 * The command of a process, as it was asked for; program and arguments with spaces between them.
 *
 * buffer, capacity: receive the text; a NUL is added where there is room for it.
 * length: receives its length without that NUL, also with MGR_ERR_BUFFER; may be NULL.
 *
 * MGR_OK; MGR_ERR_BUFFER if capacity is less than the length; MGR_ERR_INVALID; MGR_ERR_NOT_FOUND; MGR_ERR_HANDLE. Does
 * not block.
 */
int32_t mgr_command(mgr_t manager,
                    const char *id,
                    char *buffer,
                    size_t capacity,
                    size_t *length);

/** The directory that a process was started in. Parameters and results are those of mgr_command. */
int32_t mgr_directory(mgr_t manager, const char *id, char *buffer, size_t capacity, size_t *length);

/** The owner of a process; an empty text if it has none. Parameters and results are those of mgr_command. */
int32_t mgr_owner(mgr_t manager, const char *id, char *buffer, size_t capacity, size_t *length);

/**
 * Reads the raw bytes of a stream from a cursor on. Reading takes nothing away: any number of readers can read, each
 * with a cursor of its own.
 *
 * stream: MGR_STDOUT or MGR_STDERR; MGR_READ_WHOLE_CHARACTERS and MGR_READ_UNTIL_END may be added.
 * cursor: the position to read from, 0 at first; receives the position to read from next.
 * buffer, capacity: receive the bytes. With capacity 0 (buffer may be NULL) the call tells whether there are any.
 * length: receives how many bytes were written to the buffer.
 * lost: receives how many bytes between the old cursor and the first byte in the buffer are gone for good; may be NULL.
 * timeout_ms: how long to wait for the first byte; negative is for ever, 0 does not wait.
 *
 * MGR_OK: there are bytes. MGR_TIMEOUT: none came in time; call again. MGR_EOF: nothing will ever follow. MGR_ENDED, only
 * with MGR_READ_UNTIL_END: the process has ended and all that it wrote was read. MGR_ERR_INVALID: also for MGR_STDERR
 * when the streams are not separate, and for a buffer of less than 4 bytes with MGR_READ_WHOLE_CHARACTERS.
 * MGR_ERR_NOT_FOUND; MGR_ERR_HANDLE.
 *
 * Blocks; ended by a byte, by the end of the stream, which mgr_close brings about, and by the timeout.
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
 * The output of a stream as a text of bounded size: the whole output, or its beginning and its end with a note between
 * them. Valid UTF-8, at most three times as long as what is kept, plus the notes.
 *
 * stream: MGR_STDOUT or MGR_STDERR.
 * buffer, capacity: receive the text; a NUL is added where there is room for it. The text itself may hold NULs.
 * length: receives the length of the text, without that NUL, also with MGR_ERR_BUFFER; may be NULL.
 * truncation: receives the numbers of what the text does not show; may be NULL. Set its struct_size.
 *
 * MGR_OK; MGR_ERR_BUFFER if capacity is less than the length: call again with a buffer of at least the length, which
 * may have grown meanwhile if the process runs; MGR_ERR_INVALID; MGR_ERR_NOT_FOUND; MGR_ERR_HANDLE. Does not block.
 */
int32_t mgr_output(mgr_t manager,
                   const char *id,
                   int32_t stream,
                   char *buffer,
                   size_t capacity,
                   size_t *length,
                   struct mgr_truncation *truncation);

/**
 * Sends a signal to the process group; once the leader has ended, to each process that it left behind. A signal never
 * reaches a process that is not of this one.
 *
 * signal: a number from <signal.h>: SIGKILL, SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGSTOP, SIGCONT, SIGUSR1 or SIGUSR2.
 *
 * MGR_OK; MGR_ERR_UNSUPPORTED for another signal; MGR_ERR_NOT_RUNNING if the process has ended and nothing of it is
 * left; MGR_ERR_NOT_FOUND; MGR_ERR_IO; MGR_ERR_INVALID; MGR_ERR_HANDLE. Does not block.
 */
int32_t mgr_signal(mgr_t manager,
                   const char *id,
                   int32_t signal);

/**
 * Ends a process: TERM to everything that it is and left behind, a grace period, KILL, and waiting for the end. One
 * that has ended, with nothing left of it, stays as it is; that is no error.
 *
 * grace_ms: how long to wait between TERM and KILL, such as MGR_STOP_GRACE_MS; 0 sends KILL at once, negative never.
 * process: receives where the process stands; may be NULL. Set its struct_size.
 *
 * MGR_OK: nothing of it is left. MGR_TIMEOUT: something of it is left 10 seconds after KILL, because it hangs in the
 * kernel. MGR_ERR_IO: its group was ended, but what left the group cannot be looked for, because /proc is not mounted or
 * there is no descriptor to be had. MGR_ERR_NOT_FOUND; MGR_ERR_INVALID; MGR_ERR_HANDLE.
 *
 * Blocks for the grace period at most, and for the kernel's work after that.
 */
int32_t mgr_stop(mgr_t manager,
                 const char *id,
                 int64_t grace_ms,
                 struct mgr_process *process);

/**
 * Begins what mgr_stop does and returns: the rest happens on a thread of the library. MGR_EVENT_STOPPED tells when it
 * is over.
 *
 * MGR_OK; MGR_ERR_IO if there is no thread to be had; MGR_ERR_NOT_FOUND; MGR_ERR_INVALID; MGR_ERR_HANDLE. Does not block.
 */
int32_t mgr_stop_begin(mgr_t manager,
                       const char *id,
                       int64_t grace_ms);

/**
 * Subscribes to what happens to the processes that a manager or scope sees, from now on. Each event goes to each
 * subscription once. Up to 16,384 events wait for the subscriber; what comes when the queue is full is counted, and
 * reported by MGR_EVENT_MISSED.
 *
 * events: receives the handle; give it back with mgr_events_release.
 *
 * MGR_OK; MGR_ERR_INVALID; MGR_ERR_CLOSED; MGR_ERR_HANDLE. Does not block.
 */
int32_t mgr_events_open(mgr_t manager,
                        mgr_events_t *events);

/**
 * Gives a subscription back. A mgr_events_next that waits in another thread returns MGR_ERR_CLOSED.
 *
 * MGR_OK; MGR_ERR_HANDLE. Does not block.
 */
int32_t mgr_events_release(mgr_events_t events);

/**
 * Takes the next event.
 *
 * timeout_ms: how long to wait for one; negative is for ever, 0 does not wait.
 * event: receives it. Set its struct_size.
 *
 * MGR_OK; MGR_TIMEOUT: none came in time; MGR_ERR_CLOSED: none is left and none will come, because the manager is closed
 * or the subscription released; MGR_ERR_INVALID; MGR_ERR_HANDLE.
 *
 * Blocks; ended by an event, by mgr_close of the manager, by mgr_events_release, and by the timeout.
 */
int32_t mgr_events_next(mgr_events_t events,
                        int64_t timeout_ms,
                        struct mgr_event *event);

/**
 * A descriptor that is readable while there may be an event, for a host's own loop (poll, epoll). When it is, call
 * mgr_events_next with a timeout of 0 until it answers MGR_TIMEOUT. The descriptor belongs to the subscription: neither
 * read it nor close it; it goes with mgr_events_release.
 *
 * descriptor: receives it.
 *
 * MGR_OK; MGR_ERR_IO if there is no descriptor to be had; MGR_ERR_INVALID; MGR_ERR_HANDLE. Does not block.
 */
int32_t mgr_events_descriptor(mgr_events_t events,
                              int32_t *descriptor);

/**
 * Asks for one MGR_EVENT_READABLE: as soon as there is a byte of the stream past the cursor, or the process or the
 * stream has ended; at once if that is so already. The end of the process is told once: after that only bytes and the end
 * of the stream are. Asking again before it came moves the cursor. So one thread follows
 * any number of processes: it reads with a timeout of 0, watches when there is nothing, and waits in mgr_events_next.
 *
 * manager: one that sees the process.
 * stream: MGR_STDOUT or MGR_STDERR.
 *
 * MGR_OK; MGR_ERR_NOT_FOUND; MGR_ERR_INVALID; MGR_ERR_HANDLE. Does not block.
 */
int32_t mgr_events_watch(mgr_events_t events,
                         mgr_t manager,
                         const char *id,
                         int32_t stream,
                         uint64_t cursor);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* PROCMGR_H */
