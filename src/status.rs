//! Where a process stands: plain data, for those who ask.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::id::Id;

/// The state of a process, which is that of its leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// The leader has not ended.
    Running,
    /// The leader ended by itself with this exit code.
    Exited(i32),
    /// A signal ended the leader.
    Signaled {
        /// The number of the signal.
        signal: i32,
        /// Whether it left a core dump.
        core_dumped: bool,
    },
    /// The leader has ended and nobody can know how: the host reaped it, or ignores SIGCHLD.
    Lost,
}

/// Who asked for the end of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndedBy {
    /// Nobody: it ended by itself, by something outside of procmgr, or it has not ended.
    Nobody,
    /// A signal that was sent with `signal`: one that asks to end, or the one that the leader died of.
    Signal,
    /// A call of `stop`.
    Stop,
    /// The time limit of its request.
    Limit,
    /// A cancel of its key.
    Cancel,
    /// The manager or its scope was closed.
    Close,
}

/// What a process used, as the kernel counted it for the leader and the children that it waited for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// CPU time in user mode.
    pub user: Duration,
    /// CPU time in the kernel.
    pub system: Duration,
    /// Peak resident memory, in KiB.
    pub max_rss_kib: u64,
}

/// What was started, as it is reported.
#[derive(Debug)]
pub(crate) struct About {
    pub(crate) command: OsString,
    pub(crate) directory: PathBuf,
    pub(crate) owner: Option<Arc<OsStr>>,
    pub(crate) background: bool,
    /// It was started with a key.
    pub(crate) keyed: bool,
    pub(crate) started_at: SystemTime,
    pub(crate) started: Instant,
    /// When its time limit is reached.
    pub(crate) ends_at: Option<Instant>,
    /// When it was started, among those of its manager.
    pub(crate) sequence: u64,
}

/// Where a process stood at the moment of the call.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Status {
    /// Its id.
    pub id: Id,
    /// The pid of its leader, which is the number of its process group. Once the leader has ended, the number may be
    /// another process's.
    pub pid: u32,
    /// Whether it runs, or how it ended.
    pub state: State,
    /// Who asked for its end.
    pub ended_by: EndedBy,
    /// Somebody may still write to its output: the leader, or something that it left behind.
    pub output_open: bool,
    /// When it was started, by the wall clock.
    pub started_at: SystemTime,
    /// When it ended, by the wall clock.
    pub ended_at: Option<SystemTime>,
    /// How long it has run, or did, by the monotonic clock.
    pub duration: Duration,
    /// Bytes of output so far, all streams together, kept or not.
    pub output_bytes: u64,
    /// What its leader used; all zero while it runs.
    pub usage: Usage,
    pub(crate) about: Arc<About>,
}

impl Status {
    /// The same without its texts, which have no bound: for one that is remembered for long.
    pub(crate) fn without_texts(self) -> Self {
        let about = About {
            command: OsString::new(),
            directory: PathBuf::new(),
            owner: self.about.owner.clone(),
            ..*self.about
        };
        Status {
            about: Arc::new(about),
            ..self
        }
    }

    /// Whether the leader has not ended.
    pub fn is_running(&self) -> bool {
        self.state == State::Running
    }

    /// The exit code, if the leader ended by itself.
    pub fn exit_code(&self) -> Option<i32> {
        match self.state {
            State::Exited(code) => Some(code),
            _ => None,
        }
    }

    /// The command that was asked for; of the argument form, program and arguments with spaces between them.
    pub fn command(&self) -> &OsStr {
        &self.about.command
    }

    /// The directory that it was started in.
    pub fn directory(&self) -> &Path {
        &self.about.directory
    }

    /// Its owner.
    pub fn owner(&self) -> Option<&OsStr> {
        self.about.owner.as_deref()
    }

    /// Whether its request said that nobody waits for it.
    pub fn is_background(&self) -> bool {
        self.about.background
    }

    pub(crate) fn sequence(&self) -> u64 {
        self.about.sequence
    }
}

/// Processes of a manager or scope, as they stood one after the other.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Listing {
    /// Running ones first, newest first; no more than were asked for.
    pub processes: Vec<Status>,
    /// How many there are in all.
    pub total: usize,
}

/// What stopping a process did.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Stopped {
    /// How it stands now. Still running only if the kernel could not end it within ten seconds of KILL.
    pub status: Status,
    /// How many processes beyond the leader's group were found and signalled.
    pub beyond_group: usize,
    /// How many of these were still there when procmgr gave up.
    pub left: usize,
}
