//! The working directory of a process whose request names none: the manager's, the home directory, or
//! the host's.
//!
//! [`Directories`] holds whether the first choice has failed before. A directory that does not exist is not
//! used while there is another choice. No lock is taken.
//!
//! To check that the first choice is a directory takes four microseconds of a start, and the start
//! itself finds out. So it is not checked until a start has failed because of it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::config::Config;
use crate::sys;

/// The default directories of one manager.
#[derive(Debug, Default)]
pub(crate) struct Directories {
    /// A start has failed because the first choice is not a directory. From then on it is checked before
    /// it is used.
    first_choice_failed: AtomicBool,
}

/// The working directory of one start.
#[derive(Debug)]
pub(crate) struct Directory {
    /// `None` is the host's working directory.
    pub(crate) path: Option<PathBuf>,
    /// It is not known to be a directory.
    unchecked: bool,
}

impl Directory {
    /// The directory of a request, used as given.
    pub(crate) fn given(path: PathBuf) -> Self {
        Directory {
            path: Some(path),
            unchecked: false,
        }
    }

    /// Whether it was not checked and is not a directory. For a start that has failed at any step: the
    /// program may have been searched for in this directory.
    pub(crate) fn is_wrong_guess(&self) -> bool {
        self.unchecked && !self.path.as_ref().is_some_and(|path| path.is_dir())
    }

    /// The path to report.
    pub(crate) fn report(&self) -> PathBuf {
        match &self.path {
            Some(path) => path.clone(),
            None => std::env::current_dir().unwrap_or_default(),
        }
    }
}

impl Directories {
    /// The first choice.
    pub(crate) fn choose(&self, config: &Config) -> Directory {
        let first = config.directory.clone().or_else(home);
        match first {
            Some(first) if !self.first_choice_failed.load(Ordering::Relaxed) => Directory {
                path: Some(first),
                unchecked: true,
            },
            _ => first_existing(config),
        }
    }

    /// The first choice that is a directory, after a start has failed because of an unchecked one.
    pub(crate) fn choose_again(&self, config: &Config) -> Directory {
        self.first_choice_failed.store(true, Ordering::Relaxed);
        first_existing(config)
    }
}

/// The first choice that is a directory.
fn first_existing(config: &Config) -> Directory {
    let configured = config.directory.clone();
    let found = configured
        .filter(|directory| directory.is_dir())
        .or_else(|| home().filter(|directory| directory.is_dir()))
        .or_else(|| sys::user::home().filter(|directory| directory.is_dir()));
    Directory {
        path: found,
        unchecked: false,
    }
}

fn home() -> Option<PathBuf> {
    std::env::var_os("HOME").map(PathBuf::from)
}
