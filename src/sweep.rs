//! Scans `/proc` for processes that left the group or outlived their leader: by the cookie that they
//! inherited, or by a group that is certain to be ours.
//!
//! A scan returns the processes that it has found, each with a pidfd, which never refers to another
//! process. If some processes could not be checked, the result says so. A scan takes no lock.

use std::cell::Cell;
use std::collections::HashSet;
use std::io;
use std::time::Duration;

use crate::cookie::Cookie;
use crate::sys;
use crate::sys::child::{self, Pid, group_of};
use crate::sys::descriptor::{PollFd, poll};
use crate::sys::pidfd::PidFd;
use crate::sys::proc::{self, Environment, Stat};
use crate::time::Deadline;

/// A process that a scan has found.
#[derive(Debug)]
pub(crate) struct FoundProcess {
    pub(crate) pid: Pid,
    /// In clock ticks since the boot. With the pid, it identifies the process.
    pub(crate) start_time: u64,
    process: PidFd,
    /// The last signal was refused.
    refused: Cell<bool>,
}

/// What has become of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    Delivered,
    /// The process has ended.
    Ended,
    /// The process may not be signalled.
    Refused,
}

impl FoundProcess {
    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: i32) -> Sent {
        let sent = match self.process.signal(signal) {
            // Refused for this process, or the system call by a filter.
            Err(error) if !sys::is_no_process(&error) => self.signal_by_pid(signal),
            sent => sent,
        };
        let sent = match sent {
            Ok(()) => Sent::Delivered,
            Err(error) if sys::is_no_process(&error) => Sent::Ended,
            Err(_) => Sent::Refused,
        };
        self.refused.set(sent == Sent::Refused);
        sent
    }

    /// The pid is checked right before. The kernel would have to allocate all other pids in between to give
    /// it to another process.
    fn signal_by_pid(&self, signal: i32) -> io::Result<()> {
        match Stat::of(self.pid) {
            Ok(stat) if stat.start_time == self.start_time => child::signal(self.pid, signal),
            Ok(_) => Err(sys::no_process()),
            Err(error) if proc::is_absent(&error) => Err(sys::no_process()),
            Err(error) => Err(error),
        }
    }

    /// Whether the last signal to it was refused.
    pub(crate) fn is_refused(&self) -> bool {
        self.refused.get()
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.process.has_ended()
    }
}

/// Which processes a scan finds.
pub(crate) trait Filter {
    /// Whether the process with this pid, cookie and group is one of them. Called before and after the
    /// pidfd of the process is opened: a group that is ours at both times was ours in between.
    fn matches(&self, pid: Pid, cookie: Option<&Cookie>, group: Option<Pid>) -> bool;
}

/// The result of a scan.
#[derive(Debug, Default)]
pub(crate) struct ScanResult {
    pub(crate) found: Vec<FoundProcess>,
    /// Why some processes could not be checked: out of file descriptors or memory. They may match the
    /// filter. Those that were found hold descriptors, so another scan after their end may find more.
    pub(crate) scan_error: Option<io::Error>,
    /// The last pid that the kernel had allocated, if it was the same before the last listing and after
    /// all listed processes were checked, and if all could be checked.
    last_pid: Option<String>,
    /// The pids that were listed.
    listed: HashSet<Pid>,
}

impl ScanResult {
    /// Whether it is certain that no process was made since the scan began. Then it has found all
    /// matching processes.
    ///
    /// Called after the found processes have ended. A process gets its pid some time before `/proc`
    /// lists it, so the last pid alone does not prove that none was being made during the scan. But its
    /// parent has ended by now, so it is listed by now.
    pub(crate) fn is_still_complete(&self) -> bool {
        let are_listed = |pids: Vec<Pid>| pids.iter().all(|pid| self.listed.contains(pid));
        self.last_pid.is_some()
            && proc::last_pid() == self.last_pid
            && proc::pids().is_ok_and(are_listed)
    }

    /// Takes the scan error out of the result, for a caller that stores it.
    pub(crate) fn take_scan_error(&mut self) -> Option<io::Error> {
        self.scan_error.take()
    }
}

/// Finds all running processes that match the filter. Each is passed to `each` as soon as it is found,
/// so that a process that forks without pause has little time to do so. Fails if `/proc` cannot be
/// read.
///
/// A process that forks and exits during the scan is missed together with its child. So the listing
/// repeats until no pid was allocated while it was checked, which the last allocated pid shows, or
/// until it has no new pid, or [`MAX_LISTINGS`] times, or until the deadline. [`ScanResult::is_still_complete`] tells whether the
/// result is certain.
pub(crate) fn find(
    filter: &impl Filter,
    deadline: Deadline,
    each: impl FnMut(&FoundProcess),
) -> io::Result<ScanResult> {
    proc::check_mounted()?;
    let mut scan = Scan {
        filter,
        each,
        found: Vec::new(),
        scan_error: None,
        environment: Environment::default(),
    };
    let mut listed = HashSet::new();
    let mut last_pid = None;
    let mut undecided = false;
    for _ in 0..MAX_LISTINGS {
        let before = proc::last_pid();
        let mut new = proc::pids()?;
        new.retain(|pid| listed.insert(*pid));
        if new.is_empty() {
            break;
        }
        // Those with the highest pids are most likely to be gone soon.
        new.sort_unstable_by_key(|pid| std::cmp::Reverse(*pid));
        new.retain(|pid| scan.check(*pid) == Verdict::Executing);
        let exec_deadline = Deadline::after(EXEC_TIMEOUT).min(deadline);
        while !new.is_empty() && !exec_deadline.passed() {
            let _ = poll(&mut [], Some(EXEC_POLL_INTERVAL));
            new.retain(|pid| scan.check(*pid) == Verdict::Executing);
        }
        undecided |= !new.is_empty();
        if before.is_some() && proc::last_pid() == before {
            last_pid = before;
            break;
        }
        if deadline.passed() {
            break;
        }
    }
    Ok(ScanResult {
        found: scan.found,
        last_pid: last_pid.filter(|_| scan.scan_error.is_none() && !undecided),
        listed,
        scan_error: scan.scan_error,
    })
}

/// The maximum number of listings in one scan, on a system where processes are made all the time.
const MAX_LISTINGS: usize = 50;

/// How often an environment that does not end with a NUL is read again.
const MAX_REREADS: usize = 3;

/// For how long, and at what interval, processes in the middle of an exec are checked again. An exec
/// takes some tenths of a millisecond, during which the process shows no environment. On a busy system
/// it may be preempted in the middle.
const EXEC_TIMEOUT: Duration = Duration::from_millis(500);
const EXEC_POLL_INTERVAL: Duration = Duration::from_micros(200);

struct Scan<'a, W, E> {
    filter: &'a W,
    each: E,
    found: Vec<FoundProcess>,
    scan_error: Option<io::Error>,
    environment: Environment,
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// It was found, does not match, or has ended.
    Decided,
    /// It is in the middle of an exec and shows no environment.
    Executing,
}

impl<W: Filter, E: FnMut(&FoundProcess)> Scan<'_, W, E> {
    fn check(&mut self, pid: Pid) -> Verdict {
        match self.matches(pid) {
            None => return Verdict::Executing,
            Some(false) => return Verdict::Decided,
            Some(true) => {}
        }
        let stat = match Stat::of(pid) {
            Ok(stat) if !stat.has_ended() => stat,
            Ok(_) => return Verdict::Decided,
            Err(error) => {
                self.record_shortage(error);
                return Verdict::Decided;
            }
        };
        // The pid may have been reused since the check. The pidfd refers to one process for ever. If
        // the second check gives the same result and the process of the pidfd has not ended, both
        // checks were of that process.
        let process = match PidFd::open(pid) {
            Ok(process) => process,
            Err(error) => {
                self.record_shortage(error);
                return Verdict::Decided;
            }
        };
        let one = FoundProcess {
            pid,
            start_time: stat.start_time,
            process,
            refused: Cell::new(false),
        };
        match self.matches(pid) {
            // It has begun an exec in between.
            None => return Verdict::Executing,
            Some(true) if !one.has_ended() => {
                (self.each)(&one);
                self.found.push(one);
            }
            Some(_) => {}
        }
        Verdict::Decided
    }

    /// Whether the process with this pid matches the filter; `None` if it is in the middle of an exec.
    fn matches(&mut self, pid: Pid) -> Option<bool> {
        let mut read = self.environment.read(pid);
        // One without a NUL at its end may have been cut off by an exec, or the program may have
        // overwritten it.
        for _ in 0..MAX_REREADS {
            if matches!(self.environment.bytes().last(), None | Some(0)) {
                break;
            }
            let before = self.environment.bytes().to_vec();
            read = self.environment.read(pid);
            if self.environment.bytes() == before {
                break;
            }
        }
        let refused = read.is_err();
        if read.is_err_and(|error| self.record_shortage(error)) {
            return Some(false);
        }
        let group = group_of(pid).ok();
        if self.environment.bytes().is_empty() {
            let stat = Stat::of(pid);
            return match stat {
                Err(error) => {
                    self.record_shortage(error);
                    Some(false)
                }
                Ok(stat) if stat.has_ended() => Some(false),
                // Also if it is exiting: it holds its sockets until it has freed its memory.
                Ok(_) if self.filter.matches(pid, None, group) => Some(true),
                // A kernel thread, or a process that is exiting; or one whose first thread has exited while
                // others run.
                Ok(stat) if !stat.has_memory() => Some(self.threads_match(pid, group)),
                // We may not read it, or its environment is empty.
                Ok(stat) if refused || !stat.may_be_executing() => Some(false),
                Ok(_) => None,
            };
        }
        let cookie = Cookie::find(self.environment.bytes());
        Some(self.filter.matches(pid, cookie.as_ref(), group))
    }

    /// Whether a process that shows neither environment nor memory matches the filter by the environment
    /// of a thread. Its first thread may have exited and be shown as a zombie while others run.
    fn threads_match(&mut self, pid: Pid, group: Option<Pid>) -> bool {
        let threads = match proc::threads(pid) {
            Ok(threads) => threads,
            Err(error) => {
                self.record_shortage(error);
                return false;
            }
        };
        for thread in threads.into_iter().filter(|thread| *thread != pid) {
            if let Err(error) = self.environment.read_of_thread(pid, thread) {
                self.record_shortage(error);
            } else if !self.environment.bytes().is_empty() {
                let cookie = Cookie::find(self.environment.bytes());
                return self.filter.matches(pid, cookie.as_ref(), group);
            }
        }
        false
    }
}

impl<W, E> Scan<'_, W, E> {
    /// Whether this error says that a resource ran out and nothing about the process. If so, it becomes
    /// the scan error.
    fn record_shortage(&mut self, error: io::Error) -> bool {
        let exhausted = sys::shortage(&error).is_some();
        if exhausted {
            self.scan_error = Some(error);
        }
        exhausted
    }
}

/// The interval at which processes are checked whose descriptors cannot be polled.
const END_POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Waits until all of them have ended or the deadline has passed. False if the deadline passed first.
pub(crate) fn wait_for_end(found: &[FoundProcess], deadline: Deadline) -> bool {
    let mut left: Vec<_> = found.iter().collect();
    while !left.is_empty() {
        let mut set: Vec<_> = left
            .iter()
            .map(|one| {
                one.process
                    .pollable()
                    .map_or_else(PollFd::none, PollFd::readable)
            })
            .collect();
        let wait = match left.iter().all(|one| one.process.pollable().is_some()) {
            true => deadline,
            false => deadline.min(Deadline::after(END_POLL_INTERVAL)),
        };
        if poll(&mut set, wait.left()).is_err() {
            return false;
        }
        let mut polled = set.iter();
        left.retain(|one| {
            let ended = polled
                .next()
                .is_some_and(|entry| entry.has_input() || entry.hung_up());
            !ended && (one.process.pollable().is_some() || !one.has_ended())
        });
        if !left.is_empty() && deadline.passed() {
            return false;
        }
    }
    true
}
