//! Runs one command, follows its output as it comes, and says how it ended.
//!
//! ```text
//! cargo run --release --example run -- 'for i in 1 2 3; do echo line $i; sleep 1; done'
//! ```

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use lexopt::prelude::*;
use procmgr::{Config, EndedBy, Error, Manager, Process, Request, Snapshot, State, Status, Stream};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

const USAGE: &str = "\
Runs one command, follows its output as it comes, and says on stderr how it ended.

Usage: run [OPTIONS] COMMAND

  COMMAND              The command, for /bin/sh
  --timeout SECONDS    End the command after this time
  --dir DIRECTORY      Run it in this directory
  --env NAME=VALUE     Set an environment variable; may be given several times
  --owner OWNER        Tag it with an owner
  --snapshot           Print the bounded snapshot at the end instead of following
  --json               Print the result as one JSON line on stderr
  --help               Print this help

Exits with the command's exit code, or 128 + the number of the signal that ended it.
Ctrl-C stops the command: TERM, up to 5 seconds of grace, KILL.
";

/// What the arguments ask for.
struct Arguments {
    request: Request,
    snapshot: bool,
    json: bool,
}

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("run: {error}\nrun: --help lists the options");
            return ExitCode::from(2);
        }
    };
    match run(arguments) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("run: {error}");
            // The codes of shells for a command that is not found, or cannot be executed.
            ExitCode::from(if is_not_found(&error) { 127 } else { 126 })
        }
    }
}

fn is_not_found(error: &Error) -> bool {
    error.os_error() == Some(2)
}

/// The arguments, or `None` if they ask for help.
fn arguments() -> Result<Option<Arguments>, lexopt::Error> {
    let mut command: Option<OsString> = None;
    let mut options: Vec<Box<dyn FnOnce(Request) -> Request>> = Vec::new();
    let (mut snapshot, mut json) = (false, false);
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("timeout") => {
                let limit = parser.value()?.parse_with(seconds)?;
                options.push(Box::new(move |request| request.time_limit(limit)));
            }
            Long("dir") => {
                let directory = parser.value()?;
                options.push(Box::new(|request| request.directory(directory)));
            }
            Long("env") => {
                let (name, value) = name_and_value(&parser.value()?);
                options.push(Box::new(|request| request.variable(name, value)));
            }
            Long("owner") => {
                let owner = parser.value()?;
                options.push(Box::new(|request| request.owner(owner)));
            }
            Long("snapshot") => snapshot = true,
            Long("json") => json = true,
            Short('h') | Long("help") => return Ok(None),
            Value(value) if command.is_none() => command = Some(value),
            other => return Err(other.unexpected()),
        }
    }
    let command = command.ok_or("COMMAND is missing")?;
    // Lossless, because all of the output is followed. A snapshot shows only what is kept.
    let request = Request::new(command).lossless(!snapshot);
    Ok(Some(Arguments {
        request: options.into_iter().fold(request, |so_far, set| set(so_far)),
        snapshot,
        json,
    }))
}

fn seconds(text: &str) -> Result<Duration, &'static str> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds")?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(time) if !time.is_zero() => Ok(time),
        _ => Err("not a time above zero"),
    }
}

/// The parts before and after the first equals sign.
fn name_and_value(variable: &OsString) -> (OsString, OsString) {
    let mut parts = variable.as_bytes().splitn(2, |byte| *byte == b'=');
    let mut part = || OsString::from_vec(parts.next().unwrap_or_default().to_vec());
    (part(), part())
}

fn run(arguments: Arguments) -> Result<u8, Error> {
    let snapshot = arguments.snapshot;
    let manager = Manager::open(Config::new())?;
    let process = manager.start(&arguments.request)?;

    let interrupted = Arc::new(AtomicBool::new(false));
    stop_on_interrupt(&process, &interrupted);
    let stdout_closed = !snapshot && follow(&process).is_err();
    if stdout_closed {
        // Standard output is closed, as in `run ... | head`. In a shell, SIGPIPE would end the command.
        process.stop(Config::DEFAULT_STOP_GRACE)?;
    }
    let status = process.wait()?;
    let output = snapshot
        .then(|| process.output(Stream::Stdout))
        .transpose()?;
    if let Some(output) = &output {
        // If standard output is closed, the result still says how the command ended.
        let _ = io::stdout().write_all(output.text.as_bytes());
    }
    // Ends what the command left behind.
    manager.close()?;

    if arguments.json {
        eprintln!("{}", json(&status, output.as_ref()));
    } else {
        report(
            &status,
            output.as_ref(),
            interrupted.load(Ordering::Relaxed),
        );
    }
    Ok(exit_code(&status))
}

/// Stops the command at SIGINT and SIGTERM.
fn stop_on_interrupt(process: &Process, interrupted: &Arc<AtomicBool>) {
    let Ok(mut signals) = Signals::new([SIGINT, SIGTERM]) else {
        return;
    };
    let (process, interrupted) = (process.clone(), Arc::clone(interrupted));
    thread::spawn(move || {
        for _ in signals.forever() {
            if interrupted.swap(true, Ordering::Relaxed) {
                continue;
            }
            eprintln!("run: stopping the command: TERM, and KILL after 5 s");
            let process = process.clone();
            // On another thread, so that this one receives the next Ctrl-C, which would end the program otherwise.
            thread::spawn(move || process.stop(Config::DEFAULT_STOP_GRACE));
        }
    });
}

/// Copies the output to standard output until the command has ended.
fn follow(process: &Process) -> io::Result<()> {
    let mut output = process.follow(Stream::Stdout);
    let mut buffer = vec![0; 64 << 10];
    let mut stdout = io::stdout().lock();
    loop {
        let length = output.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        stdout.write_all(&buffer[..length])?;
        stdout.flush()?;
    }
}

fn report(status: &Status, output: Option<&Snapshot>, interrupted: bool) {
    let end = match status.state {
        State::Exited(code) => format!("exited with code {code}"),
        State::Signaled {
            signal,
            core_dumped,
        } => {
            let core = if core_dumped { ", core dumped" } else { "" };
            format!("killed by signal {signal}{core}")
        }
        State::Running => "still running".into(),
        _ => "ended, status unknown".into(),
    };
    let why = match status.ended_by {
        EndedBy::Limit => ", its time limit was reached",
        EndedBy::Stop if interrupted => ", stopped by Ctrl-C",
        EndedBy::Stop => ", stopped because no process reads its output",
        _ => "",
    };
    eprintln!(
        "run: {end}{why}, after {:.3} s; {} bytes of output, {:.3} s user and {:.3} s system CPU time, {} KiB peak memory",
        status.duration.as_secs_f64(),
        status.output_bytes,
        status.usage.user.as_secs_f64(),
        status.usage.system.as_secs_f64(),
        status.usage.max_rss_kib,
    );
    if let Some(numbers) = output.and_then(|output| output.truncation) {
        eprintln!(
            "run: the snapshot shows {} bytes; {} of {} bytes of the output are omitted",
            numbers.retained_bytes, numbers.omitted_bytes, numbers.original_bytes,
        );
    }
}

/// The result as one line of JSON.
fn json(status: &Status, output: Option<&Snapshot>) -> String {
    let (state, signal, core_dumped) = match status.state {
        State::Exited(_) => ("exited", None, false),
        State::Signaled {
            signal,
            core_dumped,
        } => ("signaled", Some(signal), core_dumped),
        State::Running => ("running", None, false),
        _ => ("lost", None, false),
    };
    let ended_by = match status.ended_by {
        EndedBy::Signal => "signal",
        EndedBy::Stop => "stop",
        EndedBy::Limit => "limit",
        EndedBy::Cancel => "cancel",
        EndedBy::Close => "close",
        _ => "nobody",
    };
    let or_null = |value: Option<String>| value.unwrap_or_else(|| "null".into());
    let owner = status.owner().map(|owner| quoted(&owner.to_string_lossy()));
    let mut members = vec![
        ("id", quoted(&status.id.to_string())),
        ("pid", status.pid.to_string()),
        ("state", quoted(state)),
        ("exit_code", status.exit_code().unwrap_or(-1).to_string()),
        ("signal", or_null(signal.map(|signal| signal.to_string()))),
        ("core_dumped", core_dumped.to_string()),
        ("ended_by", quoted(ended_by)),
        ("output_open", status.output_open.to_string()),
        ("owner", or_null(owner)),
        ("directory", quoted(&status.directory().to_string_lossy())),
        ("duration_us", status.duration.as_micros().to_string()),
        ("output_bytes", status.output_bytes.to_string()),
        ("user_us", status.usage.user.as_micros().to_string()),
        ("system_us", status.usage.system.as_micros().to_string()),
        ("max_rss_kib", status.usage.max_rss_kib.to_string()),
    ];
    if let Some(numbers) = output.and_then(|output| output.truncation) {
        let truncated = [
            ("original_bytes", numbers.original_bytes.to_string()),
            ("retained_bytes", numbers.retained_bytes.to_string()),
            ("omitted_bytes", numbers.omitted_bytes.to_string()),
            ("strategy", quoted(numbers.strategy)),
        ];
        members.push(("truncated", object(&truncated)));
    }
    object(&members)
}

/// A JSON object. Its values are JSON already.
fn object(members: &[(&str, String)]) -> String {
    let members: Vec<String> = members
        .iter()
        .map(|(name, value)| format!("\"{name}\":{value}"))
        .collect();
    format!("{{{}}}", members.join(","))
}

/// A JSON string.
fn quoted(text: &str) -> String {
    let mut json = String::from('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => json.extend(['\\', character]),
            '\0'..'\x20' => _ = write!(json, "\\u{:04x}", u32::from(character)),
            _ => json.push(character),
        }
    }
    json.push('"');
    json
}

fn exit_code(status: &Status) -> u8 {
    match status.state {
        State::Exited(code) => code as u8,
        State::Signaled { signal, .. } => 128 + signal as u8,
        _ => 1,
    }
}
