//! The identity of a host, by which another program on the same system can check whether it still runs.
//!
//! A host is judged to have ended only on a definite answer: the kernel knows no process with its pid, or
//! another one. Every other answer, and every error, means that it may run. No lock is taken.

use std::fmt;
use std::io;
use std::str::FromStr;

use crate::sys::child::{Pid, exists};
use crate::sys::proc::{Stat, is_absent, own_namespace};

/// A host: a program that uses this library. Unique on this system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Host {
    namespaces: Namespaces,
    pid: Pid,
    /// In clock ticks, as in `/proc/PID/stat`. It distinguishes the host from a later process with the
    /// same pid.
    start_time: u64,
}

/// The namespaces that a host can be judged from. The pid is one of the pid namespace, and `/proc` shows
/// start times as those of the time namespace of the program that reads them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Namespaces {
    pid: u64,
    /// 0 if the kernel has no time namespaces: before Linux 5.6.
    time: u64,
}

impl Namespaces {
    /// Those of this program.
    pub(crate) fn own() -> io::Result<Self> {
        let time = match own_namespace("time") {
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            time => time?,
        };
        let pid = own_namespace("pid")?;
        Ok(Namespaces { pid, time })
    }
}

impl Host {
    /// This program. `None` if it cannot read its own entry in `/proc`.
    pub(crate) fn own() -> Option<Self> {
        Some(Host {
            namespaces: Namespaces::own().ok()?,
            pid: Pid::try_from(std::process::id()).ok()?,
            start_time: Stat::own().ok()?.start_time,
        })
    }

    /// Whether it has certainly ended, judged from a program in the namespaces `own`.
    pub(crate) fn is_gone(&self, own: Namespaces) -> bool {
        if self.namespaces != own {
            return false;
        }
        match Stat::of(self.pid) {
            Ok(stat) => stat.start_time != self.start_time || stat.has_ended(),
            // A `/proc` that is mounted with hidepid does not show other users' processes.
            Err(error) if is_absent(&error) => !exists(self.pid),
            Err(_) => false,
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Namespaces { pid, time } = self.namespaces;
        write!(f, "{pid}:{}:{}:{time}", self.pid, self.start_time)
    }
}

impl FromStr for Host {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split(':');
        let mut number = || parts.next().ok_or(())?.parse::<u64>().map_err(drop);
        let (namespace, pid, start_time, time) = (number()?, number()?, number()?, number()?);
        Ok(Host {
            namespaces: Namespaces {
                pid: namespace,
                time,
            },
            pid: Pid::try_from(pid).map_err(drop)?,
            start_time,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_a_host_is_gone_only_if_that_is_certain() {
        let namespaces = Namespaces::own().expect("/proc is mounted");
        let own = Host::own().expect("/proc is mounted");
        assert_eq!(own.to_string().parse(), Ok(own));
        assert!(!own.is_gone(namespaces));
        let earlier = Host {
            start_time: own.start_time - 1,
            ..own
        };
        assert!(earlier.is_gone(namespaces));
        // Above the highest pid that a kernel can be configured for.
        let absent = Host {
            pid: 5_000_000,
            ..own
        };
        assert!(absent.is_gone(namespaces));
        for elsewhere in [
            Namespaces {
                pid: namespaces.pid + 1,
                ..namespaces
            },
            Namespaces {
                time: namespaces.time + 1,
                ..namespaces
            },
        ] {
            assert!(!earlier.is_gone(elsewhere));
        }
    }
}
