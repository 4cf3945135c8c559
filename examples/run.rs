//! Runs one command, follows its output as it comes, and says how it ended.
//!
//! ```text
//! cargo run --release --example run -- 'for i in 1 2 3; do echo line $i; sleep 1; done'
//! ```

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use procmgr::{Config, EndedBy, Error, Manager, Process, Request, Snapshot, State, Status, Stream};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

fn main() -> ExitCode {
    let arguments = arguments().get_matches();
    match run(&arguments) {
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

fn arguments() -> Command {
    Command::new("run")
        .about("Runs one command, follows its output as it comes, and says on stderr how it ended.")
        .after_help(
            "Exits with the command's exit code, or 128 + the number of the signal that ended it.\n\
             Ctrl-C stops the command: TERM, up to 5 seconds of grace, KILL.",
        )
        .arg(
            Arg::new("timeout")
                .long("timeout")
                .value_name("SECONDS")
                .value_parser(seconds)
                .help("End the command after this time"),
        )
        .arg(
            Arg::new("dir")
                .long("dir")
                .value_name("DIRECTORY")
                .value_parser(value_parser!(OsString))
                .help("Run it in this directory"),
        )
        .arg(
            Arg::new("env")
                .long("env")
                .value_name("NAME=VALUE")
                .action(ArgAction::Append)
                .value_parser(value_parser!(OsString))
                .help("Set an environment variable; may be given several times"),
        )
        .arg(
            Arg::new("owner")
                .long("owner")
                .value_name("OWNER")
                .value_parser(value_parser!(OsString))
                .help("Tag it with an owner"),
        )
        .arg(
            Arg::new("snapshot")
                .long("snapshot")
                .action(ArgAction::SetTrue)
                .help("Print the bounded snapshot at the end instead of following"),
        )
        .arg(
            Arg::new("json")
                .long("json")
                .action(ArgAction::SetTrue)
                .help("Print the result as one JSON line on stderr"),
        )
        .arg(
            Arg::new("command")
                .value_name("COMMAND")
                .required(true)
                .value_parser(value_parser!(OsString))
                .help("The command, for /bin/sh"),
        )
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds")?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(time) if !time.is_zero() => Ok(time),
        _ => Err("not a time above zero".into()),
    }
}

fn run(arguments: &ArgMatches) -> Result<u8, Error> {
    let snapshot = arguments.get_flag("snapshot");
    let manager = Manager::open(Config::new())?;
    // Lossless, because all of the output is followed. A snapshot shows only what is kept.
    let process = manager.start(&request(arguments).lossless(!snapshot))?;

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

    if arguments.get_flag("json") {
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

fn request(arguments: &ArgMatches) -> Request {
    let text = |name: &str| arguments.get_one::<OsString>(name).cloned();
    let mut request = Request::new(text("command").unwrap_or_default());
    if let Some(limit) = arguments.get_one::<Duration>("timeout") {
        request = request.time_limit(*limit);
    }
    if let Some(directory) = text("dir") {
        request = request.directory(directory);
    }
    if let Some(owner) = text("owner") {
        request = request.owner(owner);
    }
    for variable in arguments.get_many::<OsString>("env").into_iter().flatten() {
        let mut parts = variable.as_bytes().splitn(2, |byte| *byte == b'=');
        let mut part = || OsString::from_vec(parts.next().unwrap_or_default().to_vec());
        request = request.variable(part(), part());
    }
    request
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
        _ => "ended, nobody knows how".into(),
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

fn json(status: &Status, output: Option<&Snapshot>) -> serde_json::Value {
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
    let mut result = serde_json::json!({
        "id": status.id.to_string(),
        "pid": status.pid,
        "state": state,
        "exit_code": status.exit_code().unwrap_or(-1),
        "signal": signal,
        "core_dumped": core_dumped,
        "ended_by": ended_by,
        "output_open": status.output_open,
        "owner": status.owner().map(|owner| owner.to_string_lossy()),
        "directory": status.directory().to_string_lossy(),
        "duration_us": status.duration.as_micros() as u64,
        "output_bytes": status.output_bytes,
        "user_us": status.usage.user.as_micros() as u64,
        "system_us": status.usage.system.as_micros() as u64,
        "max_rss_kib": status.usage.max_rss_kib,
    });
    if let Some(numbers) = output.and_then(|output| output.truncation) {
        result["truncated"] = serde_json::json!({
            "original_bytes": numbers.original_bytes,
            "retained_bytes": numbers.retained_bytes,
            "omitted_bytes": numbers.omitted_bytes,
            "strategy": numbers.strategy,
        });
    }
    result
}

fn exit_code(status: &Status) -> u8 {
    match status.state {
        State::Exited(code) => code as u8,
        State::Signaled { signal, .. } => 128 + signal as u8,
        _ => 1,
    }
}
