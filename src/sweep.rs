//! Scans `/proc` for processes that left the group or outlived their leader: by the cookie that they
//! inherited, or by a group that is certain to be ours.
//!
//! Owns nothing but the pidfds that it returns. Promises: a process that it finds is ours, and is
//! signalled through a pidfd, which never refers to another process; if some processes could not be
//! checked, the result says so. Takes no lock.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::time::Duration;

use crate::cookie::Cookie;
use crate::sys;
use crate::sys::child::{Pid, group_of};
use crate::sys::descriptor::{PollFd, poll};
use crate::sys::pidfd::PidFd;
use crate::time::Deadline;

/// A process that a scan has found.
#[derive(Debug)]
pub(crate) struct FoundProcess {
    pub(crate) pid: Pid,
    process: PidFd,
}

impl FoundProcess {
    /// Sends it a signal. Does nothing if it has ended.
    pub(crate) fn signal(&self, signal: i32) {
        let _ = self.process.signal(signal);
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.process.has_ended()
    }
}

/// Which processes a scan finds.
pub(crate) trait Filter {
    /// Whether a process with this cookie, in this group, is one of them. Called before and after the
    /// pidfd of the process is opened: a group that is ours at both times was ours in between.
    fn matches(&self, cookie: Option<&Cookie>, group: Option<Pid>) -> bool;
}

/// The result of a scan.
#[derive(Debug, Default)]
pub(crate) struct ScanResult {
    pub(crate) found: Vec<FoundProcess>,
    /// Why some processes could not be checked: out of file descriptors or memory. They may match the
    /// filter. Those that were found hold descriptors, so another scan after their end may find more.
    pub(crate) scan_error: Option<io::Error>,
    /// The last pid that the kernel had allocated before the last listing, if it had allocated none
    /// after all listed processes were checked, and all could be checked.
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
            && read_last_pid() == self.last_pid
            && list_pids().is_ok_and(are_listed)
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
/// until it has no new pid, or [`MAX_LISTINGS`] times. [`ScanResult::is_still_complete`] tells whether the
/// result is certain.
pub(crate) fn find(
    filter: &impl Filter,
    each: impl FnMut(&FoundProcess),
) -> io::Result<ScanResult> {
    check_proc()?;
    let mut scan = Scan {
        filter,
        each,
        found: Vec::new(),
        scan_error: None,
        buffer: Vec::new(),
        used: 0,
    };
    let mut listed = HashSet::new();
    let mut last_pid = None;
    let mut undecided = false;
    for _ in 0..MAX_LISTINGS {
        let before = read_last_pid();
        let mut new = list_pids()?;
        new.retain(|pid| listed.insert(*pid));
        if new.is_empty() {
            break;
        }
        // Those with the highest pids are most likely to be gone soon.
        new.sort_unstable_by_key(|pid| std::cmp::Reverse(*pid));
        new.retain(|pid| scan.check(*pid) == Verdict::Executing);
        let deadline = Deadline::after(EXEC_TIMEOUT);
        while !new.is_empty() && !deadline.passed() {
            let _ = poll(&mut [], Some(EXEC_POLL_INTERVAL));
            new.retain(|pid| scan.check(*pid) == Verdict::Executing);
        }
        undecided |= !new.is_empty();
        if before.is_some() && read_last_pid() == before {
            last_pid = before;
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

/// Fails unless `/proc` is mounted and shows our own pid namespace. An unmounted `/proc` is an empty
/// directory, in which a scan would find no process. If it shows another pid namespace, a pid in it is
/// that of an unrelated process here.
fn check_proc() -> io::Result<()> {
    let status = fs::read_to_string("/proc/self/status")?;
    // Our pids from the namespace of `/proc` down to our own. Kernels without pid namespaces have no
    // such line.
    let namespaces = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    let own = std::process::id().to_string();
    match namespaces.map(str::trim) {
        Some(number) if number != own => Err(sys::not_found()),
        _ => Ok(()),
    }
}

/// The pids in `/proc`.
fn list_pids() -> io::Result<Vec<Pid>> {
    let mut pids = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        pids.extend(name.to_str().and_then(|name| name.parse::<Pid>().ok()));
    }
    Ok(pids)
}

/// The last pid that the kernel has allocated to a process or thread in our pid namespace; `None` if it
/// does not report it. It allocates the same one again only after all the others.
fn read_last_pid() -> Option<String> {
    fs::read_to_string("/proc/sys/kernel/ns_last_pid").ok()
}

/// The maximum number of listings in one scan, on a system where processes are made all the time.
const MAX_LISTINGS: usize = 50;

/// The initial size of the buffer for an environment; larger than most.
const READ_BYTES: usize = 32 << 10;

/// How often an environment that does not end with a NUL is read again.
const MAX_REREADS: usize = 3;

/// For how long, and at what interval, processes in the middle of an exec are checked again. An exec
/// takes some tenths of a millisecond, during which the process shows no environment. On a busy system
/// it may be preempted in the middle.
const EXEC_TIMEOUT: Duration = Duration::from_millis(500);
const EXEC_POLL_INTERVAL: Duration = Duration::from_micros(200);

/// Whether a process that shows no environment is in the middle of an exec.
fn is_executing(pid: Pid) -> bool {
    let Ok(line) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };
    // The name is in parentheses and may contain any character. The list begins with the blank before
    // the state, which is field 3.
    let mut fields = line.rsplit_once(')').map_or("", |both| both.1).split(' ');
    // An exec sets the beginning and the end of the environment (fields 50 and 51) first, and the
    // address of the code (field 26) later.
    let code = fields.nth(26 - 2).unwrap_or_default();
    let begin = fields.nth(50 - 26 - 1).unwrap_or_default();
    let end = fields.next().unwrap_or_default();
    code == "0" || begin != end
}

struct Scan<'a, W, E> {
    filter: &'a W,
    each: E,
    found: Vec<FoundProcess>,
    scan_error: Option<io::Error>,
    /// The environment that was read last.
    buffer: Vec<u8>,
    /// The length of that environment.
    used: usize,
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
        let one = FoundProcess { pid, process };
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
        let file = format!("/proc/{pid}/environ");
        let mut read = self.read_environment(&file);
        // One without a NUL at its end may have been cut off by an exec, or the program may have
        // overwritten it.
        for _ in 0..MAX_REREADS {
            if matches!(self.environment().last(), None | Some(0)) {
                break;
            }
            let before = self.environment().to_vec();
            read = self.read_environment(&file);
            if self.environment() == before {
                break;
            }
        }
        let refused = read.is_err();
        if read.is_err_and(|error| self.record_shortage(error)) {
            return Some(false);
        }
        let program = || fs::read_link(format!("/proc/{pid}/exe"));
        let group = group_of(pid).ok();
        if self.environment().is_empty() {
            // Kernel threads have no program, and neither has a process that has exited or is exiting.
            match program() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    // Nor has a process whose first thread has exited while others run.
                    return Some(self.threads_match(pid, group));
                }
                _ if self.filter.matches(None, group) => return Some(true),
                // We may not read it, or its environment is empty.
                _ if refused || !is_executing(pid) => return Some(false),
                _ => return None,
            }
        }
        Some(
            self.filter
                .matches(Cookie::find(self.environment()).as_ref(), group),
        )
    }
}

impl<W: Filter, E> Scan<'_, W, E> {
    /// Whether a process that shows neither environment nor program matches the filter by the
    /// environment of a thread. Its first thread may have exited and be shown as a zombie while others
    /// run.
    fn threads_match(&mut self, pid: Pid, group: Option<Pid>) -> bool {
        let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
            return false;
        };
        for thread in threads.flatten() {
            let name = thread.file_name();
            if name.to_str() == Some(&pid.to_string()) {
                continue;
            }
            let file = thread.path().join("environ");
            let read = self.read_environment(&file.to_string_lossy());
            if read.is_ok() && !self.environment().is_empty() {
                let cookie = Cookie::find(self.environment());
                return self.filter.matches(cookie.as_ref(), group);
            }
        }
        false
    }
}

impl<W, E> Scan<'_, W, E> {
    /// The environment that was read last.
    fn environment(&self) -> &[u8] {
        &self.buffer[..self.used]
    }

    /// Reads the environment of a process with a single read: after an exec between two reads, the rest
    /// of the old environment is gone, which a second read reports as the end of the file.
    fn read_environment(&mut self, file: &str) -> io::Result<()> {
        self.used = 0;
        let mut file = File::open(file)?;
        loop {
            if self.used == self.buffer.len() {
                self.buffer.resize(self.used + READ_BYTES.max(self.used), 0);
            }
            match file.read(&mut self.buffer[self.used..]) {
                Ok(count) => {
                    self.used += count;
                    // A read fills the buffer unless the environment is shorter.
                    if self.used < self.buffer.len() {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.used = 0;
                    return Err(error);
                }
            }
        }
    }

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
