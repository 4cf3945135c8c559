//! Starting the leader: from a checked [`SpawnSpec`] to a child and the pipes of its output.
//!
//! [`spawn`] keeps no state and takes no lock. If it fails, no process and no descriptor remain, and the
//! error names the step that failed. The leader leads its own process group.
//!
//! A child is made by the `clone` of [`sys::spawn`](crate::sys::spawn), or by the standard library if
//! the manager is configured so ([`StartMethod::Std`]).
//!
//! In its own session the leader has no access to the host's controlling terminal. But `setsid` takes
//! longer than the rest of the preparations, because most kernels make a scheduling group for each
//! session. So with [`StartMethod::Automatic`] the leader gets a session if the host has a controlling
//! terminal, and only a process group otherwise.

use std::borrow::Cow;
use std::ffi::{CString, OsStr};
use std::io::{self, PipeReader, pipe};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::config::StartMethod;
use crate::environment::Block;
use crate::error::{Error, Step};
use crate::sys;
use crate::sys::child::{Child, Pid, Presence, presence};
use crate::sys::cstrings::CStrings;
use crate::sys::descriptor::{above_standard, set_nonblocking};
use crate::sys::path::{open_directory, open_null};
use crate::sys::pidfd::PidFd;
use crate::sys::spawn::{ExecSpec, Spawned, Stage};
use crate::sys::terminal::has_controlling_terminal;

/// The search path if the environment has no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// What to spawn, with everything resolved.
#[derive(Debug)]
pub(crate) struct SpawnSpec<'a> {
    pub(crate) program: &'a OsStr,
    /// The first one is argv[0].
    pub(crate) arguments: CStrings,
    /// `None` is the host's own.
    pub(crate) directory: Option<PathBuf>,
    pub(crate) environment: Block<'a>,
    pub(crate) method: StartMethod,
}

/// The child's ends of the pipes of its output.
#[derive(Debug)]
pub(crate) struct OutputPipes {
    stdout: OwnedFd,
    /// `None` if it is the same as standard output.
    stderr: Option<OwnedFd>,
}

impl OutputPipes {
    /// Makes one pipe, or one for each stream. Returns the read ends too.
    pub(crate) fn new(separate: bool) -> Result<(Self, Vec<OwnedFd>), Error> {
        Self::make(separate).map_err(no_pipe)
    }

    fn make(separate: bool) -> io::Result<(Self, Vec<OwnedFd>)> {
        let (first, stdout) = pipe()?;
        let mut read_ends = vec![prepare_read_end(first)?];
        let stdout = above_standard(stdout.into())?;
        let stderr = match separate {
            true => {
                let (second, stderr) = pipe()?;
                read_ends.push(prepare_read_end(second)?);
                Some(above_standard(stderr.into())?)
            }
            false => None,
        };
        Ok((OutputPipes { stdout, stderr }, read_ends))
    }

    fn stderr(&self) -> &OwnedFd {
        self.stderr.as_ref().unwrap_or(&self.stdout)
    }
}

/// The error of a start that has no pipe for the output.
pub(crate) fn no_pipe(error: io::Error) -> Error {
    Error::spawn(Step::Pipe, "pipe for its output", error)
}

/// Makes the read end of a pipe non-blocking, and gives it a number above 2. In a host with 0, 1 or 2
/// closed, a pipe may get such a number, and a host that opens its standard descriptors late would
/// overwrite it.
fn prepare_read_end(pipe: PipeReader) -> io::Result<OwnedFd> {
    set_nonblocking(pipe.as_fd())?;
    above_standard(pipe.into())
}

/// Starts the leader. Returns when `execve` has succeeded.
pub(crate) fn spawn(spec: &SpawnSpec<'_>, pipes: &OutputPipes) -> Result<Spawned, Error> {
    let directory = spec
        .directory
        .as_deref()
        .map(|path| open_working_directory(path, spec.method))
        .transpose()?;
    let program = find_program(spec)?;
    match spec.method {
        StartMethod::Automatic => spawn_with_clone(spec, &program, directory.as_ref(), pipes),
        StartMethod::Std => spawn_with_std(spec, &program, pipes)
            .map_err(|error| SpawnFailure(stage_of(&error), error)),
    }
    .map_err(|SpawnFailure(stage, error)| explain(stage, error, spec, &program))
}

/// Opens the working directory.
fn open_working_directory(path: &Path, method: StartMethod) -> Result<OwnedFd, Error> {
    let opened = open_directory(path).and_then(|directory| {
        // The clone reports a refused `fchdir` as such. The standard library does not say which step
        // failed.
        if method == StartMethod::Std {
            sys::path::executable(path)?;
        }
        Ok(directory)
    });
    opened.map_err(|error| match sys::shortage(&error) {
        Some(sys::Shortage::Descriptors) => {
            Error::spawn(Step::Pipe, "descriptor for its directory", error)
        }
        _ => Error::spawn(Step::Directory, path.display().to_string(), error),
    })
}

/// The stage of a spawn that failed, and its error.
struct SpawnFailure(Stage, io::Error);

/// Starts the leader with the `clone` of [`sys::spawn`].
fn spawn_with_clone(
    spec: &SpawnSpec<'_>,
    program: &Path,
    directory: Option<&OwnedFd>,
    pipes: &OutputPipes,
) -> Result<Spawned, SpawnFailure> {
    let program = CString::new(program.as_os_str().as_bytes())
        .map_err(|error| SpawnFailure(Stage::Execute, error.into()))?;
    let input = open_null().map_err(|error| SpawnFailure(Stage::Descriptors, error))?;
    sys::spawn::clone_and_exec(&ExecSpec {
        program: &program,
        arguments: &spec.arguments,
        environment: spec.environment.strings(),
        directory: directory.map(|directory| directory.as_fd()),
        session: has_controlling_terminal(),
        standard: [input.as_fd(), pipes.stdout.as_fd(), pipes.stderr().as_fd()],
        passed: &[],
    })
    .map_err(|(stage, error)| match (stage, stage_of(&error)) {
        // The clone failed because it had no descriptor left for the pidfd.
        (Stage::Process, Stage::Descriptors) => SpawnFailure(Stage::Descriptors, error),
        (stage, _) => SpawnFailure(stage, error),
    })
}

/// Starts the leader with the standard library.
fn spawn_with_std(
    spec: &SpawnSpec<'_>,
    program: &Path,
    pipes: &OutputPipes,
) -> io::Result<Spawned> {
    let mut arguments = spec.arguments.iter().map(OsStr::from_bytes);
    let mut command = Command::new(program);
    command
        .arg0(arguments.next().unwrap_or(spec.program))
        .args(arguments)
        .env_clear()
        .envs(spec.environment.variables())
        .stdin(Stdio::null())
        .stdout(pipes.stdout.try_clone()?)
        .stderr(pipes.stderr().try_clone()?)
        .process_group(0);
    if let Some(directory) = &spec.directory {
        command.current_dir(directory);
    }
    let child = command.spawn()?;
    let pid = Pid::try_from(child.id()).map_err(io::Error::other)?;
    // If the host has reaped the child already, the pid may be another process's.
    let is_child = |pidfd: &PidFd| {
        let child = pidfd.pollable().map(Child::Descriptor);
        child.is_some_and(|child| presence(child) != Presence::Gone)
    };
    Ok(Spawned {
        pid,
        // Without a pidfd, the child is known by its pid.
        pidfd: PidFd::open(pid).ok().filter(is_child),
    })
}

/// The stage that failed, derived from the error. The standard library does not report it.
fn stage_of(error: &io::Error) -> Stage {
    match sys::shortage(error) {
        Some(sys::Shortage::Descriptors) => Stage::Descriptors,
        Some(sys::Shortage::Processes) => Stage::Process,
        _ => Stage::Execute,
    }
}

/// The public error of a spawn that failed.
fn explain(stage: Stage, error: io::Error, spec: &SpawnSpec<'_>, program: &Path) -> Error {
    let (step, subject) = match stage {
        Stage::Process => (Step::Process, spec.program.to_string_lossy().into_owned()),
        Stage::Descriptors => (Step::Pipe, "descriptor for its start".to_owned()),
        Stage::Directory => {
            let directory = spec.directory.as_deref().unwrap_or(Path::new(""));
            (Step::Directory, directory.display().to_string())
        }
        Stage::Execute if error.kind() == io::ErrorKind::NotFound && exists(spec, program) => {
            let subject = format!("{} (its interpreter is missing)", program.display());
            (Step::Execute, subject)
        }
        Stage::Execute => (Step::Execute, program.display().to_string()),
    };
    Error::spawn(step, subject, error)
}

fn exists(spec: &SpawnSpec<'_>, program: &Path) -> bool {
    let directory = spec.directory.as_deref().unwrap_or(Path::new(""));
    directory.join(program).exists()
}

/// The path to execute: the program as given if it has a slash, else the first one in the new
/// environment's `PATH`.
///
/// The standard library would fork to search a `PATH` that is not the host's, so this function searches it.
fn find_program<'a>(spec: &SpawnSpec<'a>) -> Result<Cow<'a, Path>, Error> {
    let name = spec.program;
    if name.as_bytes().contains(&b'/') {
        return Ok(Path::new(name).into());
    }
    let path = spec
        .environment
        .variables()
        .find_map(|(name, value)| (name == "PATH").then_some(value))
        .unwrap_or(OsStr::new(DEFAULT_PATH));
    let mut found = None;
    for entry in std::env::split_paths(path) {
        // A relative or empty entry is relative to the working directory of the process.
        let here = Path::new(".").join(&entry).join(name);
        let (candidate, from_host) = match &spec.directory {
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
