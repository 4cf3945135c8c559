//! The types of the C face.

use std::ffi::c_char;

/// A manager or a scope. 0 is never valid, and a number is never used again.
pub type mgr_t = u64;

/// Options for mgr_open.
pub type mgr_config_t = u64;

/// What to start.
pub type mgr_request_t = u64;

/// A subscription to events.
pub type mgr_events_t = u64;

/// The id of a process: a UUID of 36 characters and a NUL.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct mgr_id {
    /// The text, for every function that takes an id.
    pub text: [c_char; 37],
}

/// Standard output; standard error too, unless the streams are separate.
pub const MGR_STDOUT: i32 = 0;
/// Standard error, if the streams are separate.
pub const MGR_STDERR: i32 = 1;

/// Added to the stream in mgr_read: a chunk never ends inside a UTF-8 character, unless the stream has ended there. The
/// buffer must hold at least 4 bytes.
pub const MGR_READ_WHOLE_CHARACTERS: i32 = 0x100;
/// Added to the stream in mgr_read: answer MGR_ENDED, instead of waiting on, once the process has ended and all that it
/// had written was read, even though something that it left behind may still write.
pub const MGR_READ_UNTIL_END: i32 = 0x200;

/// State: the leader has not ended.
pub const MGR_RUNNING: i32 = 0;
/// State: the leader ended by itself; see exit_code.
pub const MGR_EXITED: i32 = 1;
/// State: a signal ended the leader; see signal.
pub const MGR_SIGNALED: i32 = 2;
/// State: the leader has ended and nobody can know how: the host reaped it, or ignores SIGCHLD.
pub const MGR_LOST: i32 = 3;

/// State, of mgr_cancel only: the key has started nothing, and never will.
pub const MGR_NEVER_STARTED: i32 = 4;
/// State, of mgr_cancel only: the key is still being started, and what comes of it will be ended.
pub const MGR_STARTING: i32 = 5;

/// Ended by: nobody asked for it, or it has not ended.
pub const MGR_BY_NOBODY: i32 = 0;
/// Ended by: mgr_signal.
pub const MGR_BY_SIGNAL: i32 = 1;
/// Ended by: mgr_stop.
pub const MGR_BY_STOP: i32 = 2;
/// Ended by: the time limit of its request.
pub const MGR_BY_LIMIT: i32 = 3;
/// Ended by: mgr_cancel.
pub const MGR_BY_CANCEL: i32 = 4;
/// Ended by: mgr_close or mgr_release.
pub const MGR_BY_CLOSE: i32 = 5;

/// Start method: the best that the system has.
pub const MGR_START_AUTOMATIC: i32 = 0;
/// Start method: a posix_spawn that cleans what a child must not inherit, and never forks.
pub const MGR_START_POSIX_SPAWN: i32 = 1;
/// Start method: Rust's standard library, which forks when the host has something that a child must not inherit.
pub const MGR_START_STD: i32 = 2;

/// The grace period between TERM and KILL that mgr_stop is usually called with, in milliseconds.
pub const MGR_STOP_GRACE_MS: i64 = 5_000;

/// Where a process stands. Set struct_size to sizeof(mgr_process) before each call that fills one.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct mgr_process {
    /// sizeof(mgr_process), set by the caller. No more than this is written.
    pub struct_size: usize,
    /// The id.
    pub id: mgr_id,
    /// The pid of the leader, which is the number of its process group. Once the leader has ended the number may be
    /// another process's.
    pub pid: i32,
    /// MGR_RUNNING, MGR_EXITED, MGR_SIGNALED or MGR_LOST; from mgr_cancel also MGR_NEVER_STARTED or MGR_STARTING.
    pub state: i32,
    /// The exit code; -1 unless the state is MGR_EXITED.
    pub exit_code: i32,
    /// The signal that ended the leader; 0 unless the state is MGR_SIGNALED.
    pub signal: i32,
    /// 1 if it left a core dump.
    pub core_dumped: i32,
    /// Who asked for the end: one of MGR_BY_NOBODY and its neighbours.
    pub ended_by: i32,
    /// 1 if the request said that nobody waits for it.
    pub background: i32,
    /// 1 while somebody may still write to the output: the leader, or something that it left behind.
    pub output_open: i32,
    /// When it was started: milliseconds of Unix time.
    pub started_at_ms: i64,
    /// When it ended: milliseconds of Unix time, 0 while it runs.
    pub ended_at_ms: i64,
    /// How long it has run, or did, by a clock that is never set: microseconds.
    pub duration_us: i64,
    /// Bytes of output so far, all streams together, kept or not.
    pub output_bytes: u64,
    /// CPU time of the leader, and of the children that it waited for, in user mode: microseconds, 0 while it runs.
    pub user_us: i64,
    /// The same in the kernel.
    pub system_us: i64,
    /// Peak resident memory of the leader, or of the largest child that it waited for: KiB, 0 while it runs.
    pub max_rss_kib: u64,
}

/// How the text of mgr_output and the output that it was made from differ. Set struct_size before the call.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct mgr_truncation {
    /// sizeof(mgr_truncation), set by the caller. No more than this is written.
    pub struct_size: usize,
    /// 1 if the text does not show every byte of the output.
    pub truncated: i32,
    /// Bytes of the output.
    pub original_bytes: u64,
    /// Bytes of the text.
    pub retained_bytes: u64,
    /// Bytes of the output that the text does not show: those between beginning and end and those cut from long lines.
    pub omitted_bytes: u64,
}

/// Why a start failed. Set struct_size before the call.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct mgr_error {
    /// sizeof(mgr_error), set by the caller. No more than this is written.
    pub struct_size: usize,
    /// The code that the function returned.
    pub code: i32,
    /// The operating system's error number (errno), or 0.
    pub os_error: i32,
    /// The step of the start that failed: MGR_STEP_NONE or one of its neighbours.
    pub step: i32,
    /// What went wrong, in one line that names the offender; ends with a NUL, and is cut if it does not fit.
    pub message: [c_char; 500],
}

/// Event: the process was started.
pub const MGR_EVENT_STARTED: i32 = 1;
/// Event: its leader has ended, and all that it wrote can be read.
pub const MGR_EVENT_ENDED: i32 = 2;
/// Event: nobody will write to any of its streams any more.
pub const MGR_EVENT_OUTPUT_CLOSED: i32 = 3;
/// Event: what mgr_events_watch asked for: there is something to read past the cursor, or nothing more will come for now.
pub const MGR_EVENT_READABLE: i32 = 4;
/// Event: what mgr_stop_begin began is over.
pub const MGR_EVENT_STOPPED: i32 = 5;
/// Event: the queue was full, and some events were dropped. Look at everything once.
pub const MGR_EVENT_MISSED: i32 = 6;

/// Something that happened. Set struct_size before the call.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct mgr_event {
    /// sizeof(mgr_event), set by the caller. No more than this is written.
    pub struct_size: usize,
    /// MGR_EVENT_STARTED or one of its neighbours.
    pub kind: i32,
    /// The stream of MGR_EVENT_READABLE: MGR_STDOUT or MGR_STDERR.
    pub stream: i32,
    /// How many events were dropped, of MGR_EVENT_MISSED.
    pub missed: u64,
    /// The process; empty for MGR_EVENT_MISSED.
    pub id: mgr_id,
}
