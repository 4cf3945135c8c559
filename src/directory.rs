//! Where a process runs that says nothing of it: in the manager's directory, the home directory, or the host's own.
//!
//! A look whether the first choice is a directory takes four microseconds of a start, and the start itself finds out. So
//! it is tried without a look, until that has failed once.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::config::Config;
use crate::sys;

/// Where a manager's processes run.
#[derive(Debug, Default)]
pub(crate) struct Directories {
    /// The first choice has turned out to be no directory, and is looked at before it is used.
    is_doubtful: AtomicBool,
}

/// Where to run.
#[derive(Debug)]
pub(crate) struct Directory {
    /// `None` is the host's own.
    pub(crate) path: Option<PathBuf>,
    /// Nobody has looked whether it is one.
    is_guess: bool,
}

impl Directory {
    /// Used as given.
    pub(crate) fn given(path: PathBuf) -> Self {
        Directory {
            path: Some(path),
            is_guess: false,
        }
    }

    /// Nobody had looked, and it is none. Asked when a start has failed, at whatever step: a program may be searched for
    /// there.
    pub(crate) fn is_wrong_guess(&self) -> bool {
        self.is_guess && !self.path.as_ref().is_some_and(|path| path.is_dir())
    }

    /// Its name.
    pub(crate) fn report(&self) -> PathBuf {
        match &self.path {
            Some(path) => path.clone(),
            None => std::env::current_dir().unwrap_or_default(),
        }
    }
}

impl Directories {
    /// The best choice.
    pub(crate) fn choose(&self, config: &Config) -> Directory {
        let first = config.directory.clone().or_else(home);
        match first {
            Some(first) if !self.is_doubtful.load(Ordering::Relaxed) => Directory {
                path: Some(first),
                is_guess: true,
            },
            _ => look(config),
        }
    }

    /// The best choice, after a guess was no directory.
    pub(crate) fn choose_again(&self, config: &Config) -> Directory {
        self.is_doubtful.store(true, Ordering::Relaxed);
        look(config)
    }
}

fn look(config: &Config) -> Directory {
    let configured = config.directory.clone();
    let found = configured
        .filter(|directory| directory.is_dir())
        .or_else(|| home().filter(|directory| directory.is_dir()))
        .or_else(|| sys::user::home().filter(|directory| directory.is_dir()));
    Directory {
        path: found,
        is_guess: false,
    }
}

fn home() -> Option<PathBuf> {
    std::env::var_os("HOME").map(PathBuf::from)
}
