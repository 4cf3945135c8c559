//! What `/proc` shows of processes.
//!
//! `stat` and the list of pids never block for long. The environment of a process is in its memory: to
//! read it may block for as long as the process holds the lock of its memory map, which can be for ever.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;

use super::child::Pid;
use super::is_no_process;

/// What `/proc/PID/stat` shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    state: u8,
    pub(crate) parent: Pid,
    pub(crate) group: Pid,
    threads: u64,
    /// In clock ticks since the boot. It distinguishes a process from a later one with the same pid.
    pub(crate) start_time: u64,
    memory: u64,
    code: u64,
    environment: (u64, u64),
}

impl Stat {
    /// Of the process with this pid.
    pub(crate) fn of(pid: Pid) -> io::Result<Self> {
        Self::read(&pid.to_string())
    }

    /// Of this process. Not by its pid: if `/proc` is that of another pid namespace, the pid is that of
    /// another process there.
    pub(crate) fn own() -> io::Result<Self> {
        Self::read("self")
    }

    fn read(name: &str) -> io::Result<Self> {
        let text = fs::read_to_string(format!("/proc/{name}/stat"))?;
        Self::parse(&text).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
    }

    fn parse(text: &str) -> Option<Self> {
        // The name is in parentheses and may contain any character. The state, field 3, follows it.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        let pid = |field: usize| fields.get(field - 3)?.parse::<Pid>().ok();
        Some(Stat {
            state: *fields.first()?.as_bytes().first()?,
            parent: pid(4)?,
            group: pid(5)?,
            threads: number(20)?,
            start_time: number(22)?,
            memory: number(23)?,
            code: number(26)?,
            environment: (number(50)?, number(51)?),
        })
    }

    /// Whether all of its threads have exited. A process whose first thread has exited is shown as a
    /// zombie too, while others run.
    pub(crate) fn has_ended(&self) -> bool {
        match self.state {
            b'Z' => self.threads <= 1,
            b'X' | b'x' => true,
            _ => false,
        }
    }

    /// Whether it has memory: kernel threads, zombies and processes that are exiting have none.
    pub(crate) fn has_memory(&self) -> bool {
        self.memory != 0
    }

    /// Whether a process that shows no environment may be in the middle of an exec. An exec sets the
    /// beginning and the end of the environment first, and the address of the code later.
    pub(crate) fn may_be_executing(&self) -> bool {
        self.code == 0 || self.environment.0 != self.environment.1
    }
}

/// Whether an error says that there is no such process, or that `/proc` does not show it.
pub(crate) fn is_absent(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || is_no_process(error)
}

/// Fails unless `/proc` is mounted and shows our own pid namespace. An unmounted `/proc` is an empty
/// directory, in which a scan would find no process. If it shows another pid namespace, a pid in it is
/// that of an unrelated process here.
pub(crate) fn check_mounted() -> io::Result<()> {
    let status = fs::read_to_string("/proc/self/status")?;
    // Our pids from the namespace of `/proc` down to our own. Kernels without pid namespaces have no
    // such line.
    let namespaces = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    let own = std::process::id().to_string();
    match namespaces.map(str::trim) {
        Some(number) if number != own => Err(super::not_found()),
        _ => Ok(()),
    }
}

/// The pids of all processes.
pub(crate) fn pids() -> io::Result<Vec<Pid>> {
    let mut pids = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        pids.extend(name.to_str().and_then(|name| name.parse::<Pid>().ok()));
    }
    Ok(pids)
}

/// The last pid that the kernel has allocated to a process or thread in our pid namespace; `None` if it
/// does not report it. It allocates the same one again only after all the others.
pub(crate) fn last_pid() -> Option<String> {
    fs::read_to_string("/proc/sys/kernel/ns_last_pid").ok()
}

/// The number of a namespace of this process, by its name in `/proc/self/ns`. Fails with ENOENT if the
/// kernel does not have this kind of namespace.
pub(crate) fn own_namespace(kind: &str) -> io::Result<u64> {
    fs::metadata(format!("/proc/self/ns/{kind}")).map(|file| file.ino())
}

/// The ids of the threads of a process.
pub(crate) fn threads(pid: Pid) -> io::Result<Vec<Pid>> {
    let entries = fs::read_dir(format!("/proc/{pid}/task"))?;
    let names = entries.flatten().map(|entry| entry.file_name());
    Ok(names
        .filter_map(|name| name.to_str()?.parse().ok())
        .collect())
}

/// The initial size of the buffer for an environment; larger than most.
const ENVIRONMENT_BYTES: usize = 32 << 10;

/// The environment of a process that was read last.
#[derive(Debug, Default)]
pub(crate) struct Environment {
    buffer: Vec<u8>,
    used: usize,
}

impl Environment {
    /// The `NAME=VALUE` texts, each followed by a NUL.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[..self.used]
    }

    /// Reads the environment of a process.
    pub(crate) fn read(&mut self, pid: Pid) -> io::Result<()> {
        self.read_file(&format!("/proc/{pid}/environ"))
    }

    /// Reads that of a process through one of its threads.
    pub(crate) fn read_of_thread(&mut self, pid: Pid, thread: Pid) -> io::Result<()> {
        self.read_file(&format!("/proc/{pid}/task/{thread}/environ"))
    }

    /// Reads with a single read: after an exec between two reads, the rest of the old environment is
    /// gone, which a second read reports as the end of the file.
    fn read_file(&mut self, file: &str) -> io::Result<()> {
        self.used = 0;
        let mut file = File::open(file)?;
        loop {
            if self.used == self.buffer.len() {
                let more = ENVIRONMENT_BYTES.max(self.used);
                self.buffer.resize(self.used + more, 0);
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_the_own_entry_is_understood() {
        let own = Stat::own().expect("/proc is mounted");
        let same = Stat::of(std::process::id() as Pid).expect("it runs");
        // Its state and its memory change.
        assert_eq!(
            (same.start_time, same.parent, same.group),
            (own.start_time, own.parent, own.group)
        );
        assert_eq!(own.parent, std::os::unix::process::parent_id() as Pid);
        assert!(!own.has_ended() && own.has_memory());
        assert!(own.start_time > 0 && own.threads > 1);
    }

    #[test]
    fn a_name_may_hold_any_character() {
        let line = "7 (a) Z 1 (b) S 2 3 4 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 5 0 99 8192 1 0 6 0 0 0 0 0 0 0 0 0 0 \
                    0 0 17 0 0 0 0 0 0 0 0 0 0 10 11 0";
        let stat = Stat::parse(line).expect("it has all fields");
        assert_eq!((stat.parent, stat.group), (2, 3));
        assert_eq!((stat.threads, stat.start_time), (5, 99));
        assert_eq!((stat.code, stat.environment), (6, (10, 11)));
    }

    /// A process whose first thread has left while others run is shown in state Z.
    #[test]
    fn only_a_zombie_without_threads_has_ended() {
        let own = Stat::own().expect("/proc is mounted");
        let state = |state, threads| Stat {
            state,
            threads,
            ..own
        };
        assert!(state(b'Z', 1).has_ended());
        assert!(!state(b'Z', 2).has_ended());
        assert!(!state(b'D', 1).has_ended());
    }
}
