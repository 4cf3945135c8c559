//! Starting the leader: from a checked description to a pid and the pipes of its output.
//!
//! Owns nothing after it returns but what the next start may use again. Promises: a failed spawn leaves no process and no
//! descriptor, and says which step failed; the leader leads its own process group and inherits nothing of the host but what it
//! shall. Takes no lock but a leaf, for a moment, and never while it spawns ([`Prepared`]).
//!
//! There are three ways, all of them for the same [`Description`]:
//!
//! - `posix_spawn` with everything cleaned, where the C library can ([`PosixSpawn`]). It costs a few microseconds more
//!   than the plain one and never forks.
//! - std, when the host has nothing to be cleaned: std's own `posix_spawn`.
//! - std with the cleaning, and the exec, in the child that it forks.
//!
//! What decides: the first way is taken wherever it is there, without a look at the host. Such a look is about as dear as
//! the cleaning, and cannot be certain: another thread may open a descriptor without close-on-exec right after it. Where
//! the first way is missing, a look ([`host_needs_cleaning`]) spares a clean host the fork. A manager may be told to take
//! one of the two families always.
//!
//! A session of its own is what keeps the host's controlling terminal from a child, and it costs more than all the rest of
//! the cleaning: most kernels make a scheduling group for each session. So it is made where the host has such a terminal,
//! which a system call or two tell; everywhere else a process group is enough.

use std::borrow::Cow;
use std::ffi::{CString, OsStr};
use std::fmt;
use std::io::{self, PipeReader, PipeWriter, pipe};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use parking_lot::Mutex;

use crate::config::StartMethod;
use crate::environment::Block;
use crate::error::{Error, Step};
use crate::sys;
use crate::sys::child::Pid;
use crate::sys::clean::{has_terminal, host_needs_cleaning, spawn_after_fork};
use crate::sys::descriptor::above_standard;
use crate::sys::posix_spawn::{Image, PosixSpawn, Steps};
use crate::sys::texts::Texts;

/// Where programs are looked for when the environment has no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// What to spawn, with everything resolved.
#[derive(Debug)]
pub(crate) struct Description<'a> {
    pub(crate) program: &'a OsStr,
    /// The first one is the name by which the program is called.
    pub(crate) arguments: Texts,
    /// `None` is the host's own.
    pub(crate) directory: Option<PathBuf>,
    pub(crate) environment: Block<'a>,
    pub(crate) method: StartMethod,
    pub(crate) prepared: &'a Prepared,
}

/// The pipes of a process's output, made before it is.
#[derive(Debug)]
pub(crate) struct Pipes {
    /// Standard output, and standard error if it is separate.
    readers: Vec<OwnedFd>,
    stdout: OwnedFd,
    /// `None` if it is the same as standard output.
    stderr: Option<OwnedFd>,
}

impl Pipes {
    pub(crate) fn new(separate: bool) -> Result<Self, Error> {
        Self::make(separate).map_err(|error| Error::spawn(Step::Pipe, "pipe for its output", error))
    }

    fn make(separate: bool) -> io::Result<Self> {
        let (first, stdout) = pipe()?;
        let mut readers = vec![reader(first)?];
        let stdout = writer(stdout)?;
        let stderr = match separate {
            true => {
                let (second, stderr) = pipe()?;
                readers.push(reader(second)?);
                Some(writer(stderr)?)
            }
            false => None,
        };
        Ok(Pipes {
            readers,
            stdout,
            stderr,
        })
    }

    fn stderr(&self) -> &OwnedFd {
        self.stderr.as_ref().unwrap_or(&self.stdout)
    }

    /// The ends that are read. Those of the child are closed here.
    pub(crate) fn into_readers(self) -> Vec<OwnedFd> {
        self.readers
    }
}

fn reader(pipe: PipeReader) -> io::Result<OwnedFd> {
    sys::descriptor::set_nonblocking(pipe.as_fd())?;
    above_standard(pipe.into())
}

/// In a host with 0, 1 or 2 closed a pipe may get such a number, and would then be overwritten by, or mistaken for, the
/// child's own.
fn writer(pipe: PipeWriter) -> io::Result<OwnedFd> {
    above_standard(pipe.into())
}

/// What children did at their beginning, kept for those that are to do the same: with descriptor numbers that are used again most
/// are.
#[derive(Default)]
pub(crate) struct Prepared(
    /// Those that were used last at the end. A leaf: nothing is locked while it is held.
    Mutex<Vec<Steps>>,
);

/// How many are kept: for as many starts at the same time.
const MOST_PREPARED: usize = 8;

impl Prepared {
    fn spawn(&self, clean: PosixSpawn, image: &Image<'_>) -> io::Result<Pid> {
        let steps = match self.take(image) {
            Some(steps) => steps,
            None => clean.prepare(image)?,
        };
        let spawned = clean.spawn(image, &steps);
        self.keep(steps);
        spawned
    }

    fn take(&self, image: &Image<'_>) -> Option<Steps> {
        let mut all = self.0.lock();
        let at = all.iter().rposition(|steps| steps.are_for(image));
        at.map(|at| all.remove(at))
    }

    fn keep(&self, steps: Steps) {
        let mut all = self.0.lock();
        if all.len() == MOST_PREPARED {
            all.remove(0);
        }
        all.push(steps);
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared").finish_non_exhaustive()
    }
}

/// Starts the leader.
pub(crate) fn spawn(description: &Description<'_>, pipes: &Pipes) -> Result<Pid, Error> {
    let program = find_program(description)?;
    let clean = match description.method {
        StartMethod::Automatic | StartMethod::PosixSpawn => PosixSpawn::available(),
        StartMethod::Std => None,
    };
    let pid = match (clean, description.method) {
        (None, StartMethod::PosixSpawn) => {
            return Err(Error::Unsupported {
                what: "a clean posix_spawn with this C library".into(),
            });
        }
        (Some(clean), _) => with_image(description, &program, pipes, |image| {
            description.prepared.spawn(clean, image)
        }),
        (None, _) if host_needs_cleaning() => {
            with_image(description, &program, pipes, spawn_after_fork)
        }
        (None, _) => spawn_with_std(description, &program, pipes),
    };
    pid.map_err(|error| diagnose(error, description, &program))
}

/// Gives `start` what is described, in the form that the kernel takes.
fn with_image(
    description: &Description<'_>,
    program: &Path,
    pipes: &Pipes,
    start: impl FnOnce(&Image<'_>) -> io::Result<Pid>,
) -> io::Result<Pid> {
    let text = |path: &Path| CString::new(path.as_os_str().as_bytes());
    let directory = description.directory.as_deref().map(text).transpose()?;
    start(&Image {
        program: &text(program)?,
        arguments: &description.arguments,
        environment: description.environment.texts(),
        directory: directory.as_deref(),
        session: has_terminal(),
        stdout: pipes.stdout.as_fd(),
        stderr: pipes.stderr().as_fd(),
    })
}

/// Starts what is described with std, which has nothing to clean and does not fork.
fn spawn_with_std(description: &Description<'_>, program: &Path, pipes: &Pipes) -> io::Result<Pid> {
    let mut arguments = description.arguments.iter().map(OsStr::from_bytes);
    let mut command = Command::new(program);
    command
        .arg0(arguments.next().unwrap_or(description.program))
        .args(arguments)
        .env_clear()
        .envs(description.environment.variables())
        .stdin(Stdio::null())
        .stdout(pipes.stdout.try_clone()?)
        .stderr(pipes.stderr().try_clone()?)
        .process_group(0);
    if let Some(directory) = &description.directory {
        command.current_dir(directory);
    }
    let child = command.spawn()?;
    Pid::try_from(child.id()).map_err(io::Error::other)
}

/// Which step of the spawn failed. Asked afterwards, so that a spawn that works costs nothing for it.
fn diagnose(error: io::Error, description: &Description<'_>, program: &Path) -> Error {
    let name = || description.program.to_string_lossy().into_owned();
    match error.raw_os_error().map(sys::failure) {
        Some(sys::Failure::Descriptors) => {
            return Error::spawn(Step::Pipe, "descriptor for its input", error);
        }
        Some(sys::Failure::Processes) => return Error::spawn(Step::Process, name(), error),
        _ => {}
    }
    if let Some(directory) = &description.directory {
        if let Err(error) = enterable(directory) {
            return Error::spawn(Step::Directory, directory.display().to_string(), error);
        }
    }
    Error::spawn(Step::Execute, program.display().to_string(), error)
}

/// Whether a process may have this working directory.
fn enterable(directory: &Path) -> io::Result<()> {
    if !std::fs::metadata(directory)?.is_dir() {
        return Err(sys::not_a_directory());
    }
    sys::path::executable(directory)
}

/// The path to execute: the program as given if it has a slash, else the first one in the new environment's `PATH`.
///
/// std would fork to search a `PATH` that is not the host's, so the search is done here.
fn find_program<'a>(description: &Description<'a>) -> Result<Cow<'a, Path>, Error> {
    let name = description.program;
    if name.as_bytes().contains(&b'/') {
        return Ok(Path::new(name).into());
    }
    let path = description
        .environment
        .variables()
        .find_map(|(name, value)| (name == "PATH").then_some(value))
        .unwrap_or(OsStr::new(DEFAULT_PATH));
    let mut found = None;
    for entry in std::env::split_paths(path) {
        // An entry that is not absolute, and an empty one, begin at the directory that the process runs in.
        let here = Path::new(".").join(&entry).join(name);
        let (candidate, from_host) = match &description.directory {
            _ if entry.is_absolute() => (entry.join(name), entry.join(name)),
            Some(directory) => (here.clone(), directory.join(here)),
            None => (here.clone(), here),
        };
        match std::fs::metadata(&from_host) {
            Ok(metadata) if metadata.is_file() => {
                match sys::path::executable(&from_host) {
                    Ok(()) => return Ok(candidate.into()),
                    Err(error) => found = Some(error),
                };
            }
            _ => {}
        }
    }
    let error = found.unwrap_or_else(sys::not_found);
    Err(Error::spawn(Step::Execute, name.to_string_lossy(), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_last_is_kept_and_given_to_one() {
        let Some(spawn) = PosixSpawn::available() else {
            return;
        };
        let texts = Texts::default();
        let output = io::stdout();
        let with_image = |number: usize, action: &dyn Fn(&Image<'_>) -> bool| {
            let directory = CString::new(format!("/{number}")).expect("no NUL");
            action(&Image {
                program: c"/bin/sh",
                arguments: &texts,
                environment: [&texts, &texts],
                directory: Some(&directory),
                session: false,
                stdout: output.as_fd(),
                stderr: output.as_fd(),
            })
        };
        let prepared = Prepared::default();
        let keep = |image: &Image<'_>| {
            prepared.keep(spawn.prepare(image).expect("memory"));
            true
        };
        let take = |image: &Image<'_>| prepared.take(image).is_some();
        let all = 0..3 * MOST_PREPARED;
        assert!(all.clone().all(|number| with_image(number, &keep)));
        let found = all.clone().filter(|number| with_image(*number, &take));
        assert!(found.eq(2 * MOST_PREPARED..3 * MOST_PREPARED));
        assert!(!all.clone().any(|number| with_image(number, &take)));
    }
}
