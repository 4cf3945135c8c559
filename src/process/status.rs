//! Where a process stands at one moment.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::Inner;
use crate::id::Id;
use crate::life::{EndedBy, State, Usage};

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
    process: Arc<Inner>,
}

impl Status {
    pub(super) fn of(process: &Arc<Inner>) -> Self {
        // The outputs after the life: an ended process is then never shown with less than it wrote.
        let end = process.life.now();
        Status {
            id: process.id,
            pid: process.pid.unsigned_abs(),
            state: end.map_or(State::Running, |end| end.state),
            ended_by: end.map_or(EndedBy::Nobody, |end| end.ended_by),
            output_open: process.output_open(),
            started_at: process.about.started_at,
            ended_at: end.map(|end| end.at),
            duration: end
                .map_or_else(Instant::now, |end| end.instant)
                .saturating_duration_since(process.about.started),
            output_bytes: process.outputs.iter().map(|output| output.total()).sum(),
            usage: end.map(|end| end.usage).unwrap_or_default(),
            process: Arc::clone(process),
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
        &self.process.about.command
    }

    /// The directory that it was started in.
    pub fn directory(&self) -> &Path {
        &self.process.about.directory
    }

    /// Its owner.
    pub fn owner(&self) -> Option<&OsStr> {
        self.process.about.owner.as_deref()
    }

    /// Whether its request said that nobody waits for it.
    pub fn is_background(&self) -> bool {
        self.process.about.background
    }

    pub(crate) fn sequence(&self) -> u64 {
        self.process.about.sequence
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
    /// How many processes beyond the leader's group, or outliving the leader, were found and signalled.
    pub beyond_group: usize,
    /// How many of these were still there when procmgr gave up.
    pub left: usize,
}
