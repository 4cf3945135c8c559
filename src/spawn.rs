//! Starting the leader: from a checked description to a pid and the pipes of its output.
//!
//! Owns nothing after it returns. Promises: a failed spawn leaves no process and no descriptor, and says which step
//! failed; the leader is the leader of its own process group. Takes no lock.

use std::ffi::{OsStr, OsString};
use std::io::{self, PipeReader, pipe};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::config::Environment;
use crate::error::{Error, Step};
use crate::sys;

/// Where programs are looked for when the environment has no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// What to spawn, with everything resolved.
#[derive(Debug)]
pub(crate) struct Description {
    pub(crate) program: OsString,
    pub(crate) arguments: Vec<OsString>,
    /// `None` is the host's own.
    pub(crate) directory: Option<PathBuf>,
    pub(crate) environment: Environment,
}

/// The pipes of a process's output, made before it is.
#[derive(Debug)]
pub(crate) struct Pipes {
    /// Standard output, and standard error if it is separate.
    pub(crate) readers: Vec<OwnedFd>,
    stdout: Stdio,
    stderr: Stdio,
}

impl Pipes {
    pub(crate) fn new(separate: bool) -> Result<Self, Error> {
        let failed = |error| Error::spawn(Step::Pipe, "pipe for its output", error);
        let (first, writer) = pipe().map_err(failed)?;
        let mut readers = vec![reader(first).map_err(failed)?];
        let second = if separate {
            let (second, writer) = pipe().map_err(failed)?;
            readers.push(reader(second).map_err(failed)?);
            writer
        } else {
            writer.try_clone().map_err(failed)?
        };
        Ok(Pipes {
            readers,
            stdout: writer.into(),
            stderr: second.into(),
        })
    }
}

fn reader(pipe: PipeReader) -> io::Result<OwnedFd> {
    sys::descriptor::set_nonblocking(pipe.as_fd())?;
    Ok(pipe.into())
}

/// A leader that runs.
#[derive(Debug)]
pub(crate) struct Spawned {
    pub(crate) pid: sys::child::Pid,
    pub(crate) readers: Vec<OwnedFd>,
}

/// Starts the leader.
pub(crate) fn spawn(description: &Description, pipes: Pipes) -> Result<Spawned, Error> {
    let program = find_program(description)?;
    let mut command = Command::new(&program);
    command
        .arg0(&description.program)
        .args(&description.arguments)
        .env_clear()
        .envs(&description.environment)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(pipes.stdout)
        .stderr(pipes.stderr);
    if let Some(directory) = &description.directory {
        command.current_dir(directory);
    }
    let child = command
        .spawn()
        .map_err(|error| diagnose(error, description, &program))?;
    let pid = sys::child::Pid::try_from(child.id()).expect("a pid that the kernel gave fits");
    Ok(Spawned {
        pid,
        readers: pipes.readers,
    })
}

/// Which step of the spawn failed. Asked afterwards, so that a spawn that works costs nothing for it.
fn diagnose(error: io::Error, description: &Description, program: &Path) -> Error {
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
fn find_program(description: &Description) -> Result<PathBuf, Error> {
    let name = description.program.as_os_str();
    if name.as_bytes().contains(&b'/') {
        return Ok(name.into());
    }
    let path = description.environment.get(OsStr::new("PATH"));
    let path = path.map_or(OsStr::new(DEFAULT_PATH), OsString::as_os_str);
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
                    Ok(()) => return Ok(candidate),
                    Err(error) => found = Some(error),
                };
            }
            _ => {}
        }
    }
    let error = found.unwrap_or_else(sys::not_found);
    Err(Error::spawn(Step::Execute, name.to_string_lossy(), error))
}
