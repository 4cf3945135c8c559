//! Finding processes that left the group, or outlived their leader: by the cookie that they inherited, or by a group
//! that is certain to be ours.
//!
//! Owns nothing but the descriptors it hands out. Promises: what it finds is ours, and is reached through a descriptor
//! that can never mean another process; what it could not look at it tells. Takes no lock.

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

/// A process that was found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) pid: Pid,
    process: PidFd,
}

impl Found {
    /// Sends it a signal; one that is gone by now has nothing to be told.
    pub(crate) fn signal(&self, signal: i32) {
        let _ = self.process.signal(signal);
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.process.has_ended()
    }
}

/// Which processes are looked for.
pub(crate) trait Wanted {
    /// Whether a process with this cookie, in this group, is. Asked before and after the process is taken hold of: a group
    /// that is still ours then was ours meanwhile.
    fn wants(&self, cookie: Option<&Cookie>, group: Option<Pid>) -> bool;
}

/// What a look found.
#[derive(Debug, Default)]
pub(crate) struct Sight {
    pub(crate) found: Vec<Found>,
    /// Why some processes could not be looked at, which may be wanted too: there was no descriptor, or no memory, to be
    /// had for that. Those that were found hold descriptors, so another look after their end may see more.
    pub(crate) unseen: Option<io::Error>,
    /// The number that the kernel gave last before all were looked at, if it was still the last one after that, and all could
    /// be looked at.
    number: Option<String>,
    /// Who was listed.
    seen: HashSet<Pid>,
}

impl Sight {
    /// Whether it is certain that no process was made since the look began: then those that were found are all there are.
    ///
    /// To be asked when they have ended. A process gets its number some time before it is listed, so the number alone does not
    /// tell of one that was being made during the look; but whoever made it has ended by now, and so it is listed now.
    pub(crate) fn is_still_all(&self) -> bool {
        let is_seen = |pids: Vec<Pid>| pids.iter().all(|pid| self.seen.contains(pid));
        self.number.is_some() && last_number() == self.number && numbers().is_ok_and(is_seen)
    }

    /// What could not be looked at, for whoever remembers that.
    pub(crate) fn take_unseen(&mut self) -> Option<io::Error> {
        self.unseen.take()
    }
}

/// Finds all processes that are wanted and run. Each is handed to `each` at once, so that one that forks without pause
/// has little time to be another one. Fails if there is nothing to look through.
///
/// The kernel lists who runs at the beginning, and whoever forks and exits while the others are looked at is gone when it is
/// looked at, and its child not in the list. So it is listed again until nobody was made meanwhile, which the kernel tells by
/// the number that it gave last, or until there is nobody new: then each process that runs was looked at, and a look that
/// finds nobody is certain.
pub(crate) fn find(wanted: &impl Wanted, each: impl FnMut(&Found)) -> io::Result<Sight> {
    check_table()?;
    let mut look = Look {
        wanted,
        each,
        found: Vec::new(),
        unseen: None,
        buffer: Vec::new(),
        used: 0,
    };
    let mut seen = HashSet::new();
    let mut number = None;
    let mut undecided = false;
    for _ in 0..LISTINGS {
        let before = last_number();
        let mut new = numbers()?;
        new.retain(|pid| seen.insert(*pid));
        if new.is_empty() {
            break;
        }
        // Those with the highest numbers are most likely to be gone soon.
        new.sort_unstable_by_key(|pid| std::cmp::Reverse(*pid));
        new.retain(|pid| look.at(*pid) == Seen::Hollow);
        let deadline = Deadline::after(HOLLOW_PATIENCE);
        while !new.is_empty() && !deadline.passed() {
            let _ = poll(&mut [], Some(HOLLOW_PAUSE));
            new.retain(|pid| look.at(*pid) == Seen::Hollow);
        }
        undecided |= !new.is_empty();
        if before.is_some() && last_number() == before {
            number = before;
            break;
        }
    }
    Ok(Sight {
        found: look.found,
        number: number.filter(|_| look.unseen.is_none() && !undecided),
        seen,
        unseen: look.unseen,
    })
}

/// Fails unless the process table in `/proc` is there, and is that of the numbers that we use. An empty directory, which
/// `/proc` is where nothing is mounted on it, would look as if nobody ran. In a pid namespace with the table of another
/// one, a number that is read there means a stranger here.
fn check_table() -> io::Result<()> {
    let status = fs::read_to_string("/proc/self/status")?;
    // From the table's namespace down to our own. Kernels without namespaces do not tell.
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    let own = std::process::id().to_string();
    match numbers.map(str::trim) {
        Some(number) if number != own => Err(sys::not_found()),
        _ => Ok(()),
    }
}

/// Who runs, by the process table.
fn numbers() -> io::Result<Vec<Pid>> {
    let mut pids = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        pids.extend(name.to_str().and_then(|name| name.parse::<Pid>().ok()));
    }
    Ok(pids)
}

/// The number that the kernel gave last to a process or thread, in our pid namespace; `None` if it does not tell. It comes
/// to the same one again only after a whole round of all numbers.
fn last_number() -> Option<String> {
    fs::read_to_string("/proc/sys/kernel/ns_last_pid").ok()
}

/// How often it is listed who runs, on a system where something is started all the time.
const LISTINGS: usize = 50;

/// More than most environments have.
const PIECE_BYTES: usize = 32 << 10;

/// How often an environment that does not end like one is read again.
const CUT_LOOKS: usize = 3;

/// For how long, and how far apart, processes that execute a program are looked at again. That takes some tenths of a
/// millisecond in which they show no environment; but where more run than there are processors, one may be put aside in
/// the midst of it.
const HOLLOW_PATIENCE: Duration = Duration::from_millis(500);
const HOLLOW_PAUSE: Duration = Duration::from_micros(200);

/// Whether a process that shows no environment may do so for a moment only: it executes a program, or has just done so.
fn is_executing(pid: Pid) -> bool {
    let Ok(line) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };
    // The name, in parentheses, may hold anything. The list begins with the blank before the state, which is field 3.
    let mut fields = line.rsplit_once(')').map_or("", |both| both.1).split(' ');
    // The kernel makes the environment first, whose begin and end are fields 50 and 51, and then says where the code is,
    // which is field 26.
    let code = fields.nth(26 - 2).unwrap_or_default();
    let begin = fields.nth(50 - 26 - 1).unwrap_or_default();
    let end = fields.next().unwrap_or_default();
    code == "0" || begin != end
}

struct Look<'a, W, E> {
    wanted: &'a W,
    each: E,
    found: Vec<Found>,
    unseen: Option<io::Error>,
    /// What was read last, and room for more.
    buffer: Vec<u8>,
    /// How many bytes of the buffer that is.
    used: usize,
}

#[derive(Debug, PartialEq, Eq)]
enum Seen {
    /// Taken hold of, or of no interest, or gone.
    Settled,
    /// It shows no environment, which it may do for a moment only.
    Hollow,
}

impl<W: Wanted, E: FnMut(&Found)> Look<'_, W, E> {
    fn at(&mut self, pid: Pid) -> Seen {
        match self.is_wanted(pid) {
            None => return Seen::Hollow,
            Some(false) => return Seen::Settled,
            Some(true) => {}
        }
        // The pid may have become another process's since we looked. The descriptor means one process for ever: if what
        // was seen is seen again, and that process has not ended when it is signalled, the two are the same.
        let process = match PidFd::open(pid) {
            Ok(process) => process,
            Err(error) => {
                self.is_exhausted(error);
                return Seen::Settled;
            }
        };
        let one = Found { pid, process };
        match self.is_wanted(pid) {
            // It has begun to execute something in between.
            None => return Seen::Hollow,
            Some(true) if !one.has_ended() => {
                (self.each)(&one);
                self.found.push(one);
            }
            Some(_) => {}
        }
        Seen::Settled
    }

    /// Whether the process with this pid is wanted; `None` if that cannot be said now.
    fn is_wanted(&mut self, pid: Pid) -> Option<bool> {
        let file = format!("/proc/{pid}/environ");
        let mut read = self.read_environment(&file);
        // One that does not end like one may have been cut off in the midst, or be what a program has made of it.
        for _ in 0..CUT_LOOKS {
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
        if read.is_err_and(|error| self.is_exhausted(error)) {
            return Some(false);
        }
        let program = || fs::read_link(format!("/proc/{pid}/exe"));
        let group = group_of(pid).ok();
        if self.environment().is_empty() {
            // Threads of the kernel have no program, and neither has one that has exited, or is about to.
            match program() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    // So does one whose first thread has exited, and that lives on in the others.
                    return Some(self.is_wanted_by_threads(pid, group));
                }
                _ if self.wanted.wants(None, group) => return Some(true),
                // Not ours to look at, or without any environment.
                _ if refused || !is_executing(pid) => return Some(false),
                _ => return None,
            }
        }
        Some(
            self.wanted
                .wants(Cookie::find(self.environment()).as_ref(), group),
        )
    }
}

impl<W: Wanted, E> Look<'_, W, E> {
    /// Whether a process that shows neither environment nor program is wanted by what its threads show. The first of them may
    /// have exited, and is shown as a zombie, while the others run.
    fn is_wanted_by_threads(&mut self, pid: Pid, group: Option<Pid>) -> bool {
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
                return self.wanted.wants(cookie.as_ref(), group);
            }
        }
        false
    }
}

impl<W, E> Look<'_, W, E> {
    /// The environment that was read last.
    fn environment(&self) -> &[u8] {
        &self.buffer[..self.used]
    }

    /// Reads the environment of a process, in one piece: when it executes a program between two reads, the rest of what it
    /// had before is gone, which looks like the end.
    fn read_environment(&mut self, file: &str) -> io::Result<()> {
        self.used = 0;
        let mut file = File::open(file)?;
        loop {
            if self.used == self.buffer.len() {
                self.buffer
                    .resize(self.used + PIECE_BYTES.max(self.used), 0);
            }
            match file.read(&mut self.buffer[self.used..]) {
                Ok(count) => {
                    self.used += count;
                    // The kernel gives all that there is room for.
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

    /// Whether this is an error that says nothing of the process, and is to be told.
    fn is_exhausted(&mut self, error: io::Error) -> bool {
        let failure = error.raw_os_error().map(sys::failure);
        let exhausted = failure.is_some_and(|failure| failure != sys::Failure::Other);
        if exhausted {
            self.unseen = Some(error);
        }
        exhausted
    }
}

/// How far apart it is asked whether processes have ended that cannot be waited for.
const END_INTERVAL: Duration = Duration::from_millis(5);

/// Waits until all of them have ended, or the deadline. False if the deadline came first.
pub(crate) fn wait_for_end(found: &[Found], deadline: Deadline) -> bool {
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
            false => deadline.min(Deadline::after(END_INTERVAL)),
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
