//! The types and constants of the C interface.

use std::ffi::c_char;

/// The handle of a manager or a scope. 0 is never valid.
pub type mgr_t = u64;

/// The handle of a config: options for mgr_open.
pub type mgr_config_t = u64;

/// The handle of a request: what to start.
pub type mgr_request_t = u64;

/// The handle of a subscription to events.
pub type mgr_events_t = u64;

/// The id of a process: a UUID of 36 characters and a NUL.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct mgr_id {
    /// The text. Functions that take an id take this.
    pub text: [c_char; 37],
}

/// Stream: standard output, and standard error unless the streams are separate.
pub const MGR_STDOUT: i32 = 0;
/// Stream: standard error, if the streams are separate.
pub const MGR_STDERR: i32 = 1;

/// Added to the stream in mgr_read: the bytes never end inside a UTF-8 character, unless the stream has
/// ended there. The buffer must hold at least 4 bytes.
pub const MGR_READ_WHOLE_CHARACTERS: i32 = 0x100;
/// Added to the stream in mgr_read: return MGR_ENDED when the process has ended and everything that it
/// wrote was read, although processes that it left behind may still write. Without it, mgr_read waits
/// for these.
pub const MGR_READ_UNTIL_END: i32 = 0x200;

/// State: the leader has not ended.
pub const MGR_RUNNING: i32 = 0;
/// State: the leader has exited; see exit_code.
pub const MGR_EXITED: i32 = 1;
/// State: a signal has ended the leader; see signal.
pub const MGR_SIGNALED: i32 = 2;
/// State: the leader has ended, and how is unknown, because the host has reaped it or ignores SIGCHLD.
pub const MGR_LOST: i32 = 3;

/// State, only from mgr_cancel: the key has not started a process, and will not.
pub const MGR_NEVER_STARTED: i32 = 4;
/// State, only from mgr_cancel: the key is still being started. The process will be ended if the start
/// succeeds.
pub const MGR_STARTING: i32 = 5;

/// Ended by: no call of this library; or it has not ended.
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

/// Start method: a clone that shares the host's memory until its execve. The host is never forked, and
/// the process inherits no descriptor other than 0, 1 and 2, no blocked, handled or ignored signal,
/// and no controlling terminal.
pub const MGR_START_AUTOMATIC: i32 = 0;
/// Start method: posix_spawn. Not supported: MGR_ERR_UNSUPPORTED.
pub const MGR_START_POSIX_SPAWN: i32 = 1;
/// Start method: Rust's standard library as it is. The process inherits what the host leaves it:
/// blocked and ignored signals, the controlling terminal, descriptors without close-on-exec.
pub const MGR_START_STD: i32 = 2;

/// The usual grace period of mgr_stop between TERM and KILL, in milliseconds.
pub const MGR_STOP_GRACE_MS: i64 = 5_000;

/// The state of a process. Set struct_size before the call.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct mgr_process {
    /// sizeof(mgr_process), set by the caller. No more than this is written.
    pub struct_size: usize,
    /// The id.
    pub id: mgr_id,
    /// The pid of the leader, which is also its process group. Once the leader has ended, an unrelated
    /// process may have this number.
    pub pid: i32,
    /// MGR_RUNNING, MGR_EXITED, MGR_SIGNALED or MGR_LOST; from mgr_cancel also MGR_NEVER_STARTED or
    /// MGR_STARTING.
    pub state: i32,
    /// The exit code; -1 unless the state is MGR_EXITED.
    pub exit_code: i32,
    /// The signal that ended the leader; 0 unless the state is MGR_SIGNALED.
    pub signal: i32,
    /// 1 if the leader has left a core dump.
    pub core_dumped: i32,
    /// What has ended the process: one of MGR_BY_*.
    pub ended_by: i32,
    /// 1 if the request marked it as a background process.
    pub background: i32,
    /// 1 while the leader, or a process that it left behind, can still write to the output.
    pub output_open: i32,
    /// The time of the start: milliseconds of Unix time.
    pub started_at_ms: i64,
    /// The time of the end: milliseconds of Unix time, 0 while it runs.
    pub ended_at_ms: i64,
    /// How long it has run, by the monotonic clock: microseconds.
    pub duration_us: i64,
    /// Bytes of output so far: of all streams together, kept or dropped.
    pub output_bytes: u64,
    /// CPU time in user mode, of the leader and the children that it has waited for: microseconds, 0
    /// while it runs.
    pub user_us: i64,
    /// CPU time in the kernel, of the same: microseconds, 0 while it runs.
    pub system_us: i64,
    /// Peak resident memory of the leader, or of the largest child that it has waited for: KiB, 0 while
    /// it runs.
    pub max_rss_kib: u64,
}

/// How much of the output the text of mgr_output shows. Set struct_size before the call.
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
    /// Bytes of the output that the text does not show: between beginning and end, and cut from long lines.
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
    /// The step of the start that failed: one of MGR_STEP_*.
    pub step: i32,
    /// The error in one line that names what is wrong. Ends with a NUL; cut if it does not fit.
    pub message: [c_char; 500],
}

/// Event: the process was started.
pub const MGR_EVENT_STARTED: i32 = 1;
/// Event: the leader has ended, and everything that the leader wrote can be read.
pub const MGR_EVENT_ENDED: i32 = 2;
/// Event: all streams of the process have ended. Bytes written later are not read.
pub const MGR_EVENT_OUTPUT_CLOSED: i32 = 3;
/// Event: of mgr_events_watch: there is a byte at or after the cursor, the process has ended, or the stream
/// has ended.
pub const MGR_EVENT_READABLE: i32 = 4;
/// Event: a stop that mgr_stop_begin has begun is over.
pub const MGR_EVENT_STOPPED: i32 = 5;
/// Event: events were dropped because the queue was full. Query the state of every process once.
pub const MGR_EVENT_MISSED: i32 = 6;

/// An event. Set struct_size before the call.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct mgr_event {
    /// sizeof(mgr_event), set by the caller. No more than this is written.
    pub struct_size: usize,
    /// One of MGR_EVENT_*.
    pub kind: i32,
    /// Of MGR_EVENT_READABLE, the stream: MGR_STDOUT or MGR_STDERR.
    pub stream: i32,
    /// Of MGR_EVENT_MISSED, the number of events that were dropped.
    pub missed: u64,
    /// The id of the process; empty for MGR_EVENT_MISSED.
    pub id: mgr_id,
}
