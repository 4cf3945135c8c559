//! The program `examples/run.rs`: its output, its exit code, and that it leaves nothing behind. `cargo
//! test` puts it next to this test program.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use procmgr::Config;
use tinyjson::JsonValue;

mod common;
use common::{in_time, is_alive};

/// The time between TERM and KILL.
const GRACE: Duration = Config::DEFAULT_STOP_GRACE;

fn program() -> PathBuf {
    let own = std::env::current_exe().expect("a path of our own");
    let target = own.ancestors().nth(2).expect("a directory of all targets");
    let program = target.join("examples").join("run");
    assert!(
        program.is_file(),
        "{} is missing: `cargo test` and `cargo build --example run` make it",
        program.display()
    );
    program
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Runs it to its end.
fn run(arguments: &[&str]) -> (i32, String, String) {
    finish(command(arguments))
}

fn finish(mut command: Command) -> (i32, String, String) {
    let output: Output = in_time("run ends", move || command.output().expect("a run"));
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    let code = output.status.code().expect("it exits by itself");
    (code, text(output.stdout), text(output.stderr))
}

/// Runs it with `--json`, and returns the result.
fn run_json(arguments: &[&str]) -> (i32, String, JsonValue) {
    finish_json(command(&[&["--json"], arguments].concat()))
}

fn finish_json(command: Command) -> (i32, String, JsonValue) {
    let (code, stdout, stderr) = finish(command);
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    (code, stdout, stderr.parse().expect("one line of JSON"))
}

fn number(of: &JsonValue, name: &str) -> u64 {
    let number = *of[name].get::<f64>().expect("a number");
    assert!(number >= 0.0 && number.fract() == 0.0, "{name}: {number}");
    number as u64
}

fn text<'a>(of: &'a JsonValue, name: &str) -> &'a str {
    of[name].get::<String>().expect("text")
}

/// A run in the background, and its output.
fn spawn(arguments: &[&str]) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut child = command(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a run");
    let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
    (child, stdout)
}

fn next_line(stdout: &mut impl BufRead) -> String {
    let mut line = String::new();
    stdout.read_line(&mut line).expect("a line");
    line
}

/// Sends what Ctrl-C sends.
fn interrupt(child: &Child) {
    let status = Command::new("/bin/sh")
        .args(["-c", "kill -INT \"$0\"", &child.id().to_string()])
        .status();
    assert!(status.expect("a shell").success());
}

/// Its exit code, the rest of its output, and its standard error.
fn end(mut child: Child, mut stdout: impl BufRead + Send + 'static) -> (i32, String, String) {
    in_time("run ends", move || {
        let (mut rest, mut said) = (String::new(), String::new());
        stdout.read_to_string(&mut rest).expect("text");
        let mut stderr = child.stderr.take().expect("a pipe");
        stderr.read_to_string(&mut said).expect("text");
        let status = child.wait().expect("a wait");
        (status.code().expect("it exits by itself"), rest, said)
    })
}

#[test]
fn it_exits_with_the_code_of_the_command() {
    for code in [0, 1, 42, 255] {
        let (got, stdout, stderr) = run(&[&format!("exit {code}")]);
        assert_eq!((got, stdout.as_str()), (code, ""));
        assert!(
            stderr.contains(&format!("exited with code {code}, after ")),
            "{stderr}"
        );
        assert!(stderr.contains("0 bytes of output"), "{stderr}");
        assert!(
            stderr.contains("CPU time") && stderr.contains("peak memory"),
            "{stderr}"
        );
    }
}

#[test]
fn a_signal_is_128_and_its_number() {
    for (name, number) in [("KILL", 9), ("TERM", 15)] {
        let (code, _, stderr) = run(&[&format!("kill -{name} $$")]);
        assert_eq!(code, 128 + number);
        assert!(
            stderr.contains(&format!("killed by signal {number}")),
            "{stderr}"
        );
    }
    let (code, _, result) = run_json(&["kill -9 $$"]);
    assert_eq!(code, 137);
    assert_eq!(text(&result, "state"), "signaled");
    assert_eq!(number(&result, "signal"), 9);
    assert_eq!(result["exit_code"], JsonValue::from(-1.0));
    assert_eq!(text(&result, "ended_by"), "nobody");
}

#[test]
fn the_time_limit_is_term_then_the_grace_period_then_kill() {
    let began = Instant::now();
    let (code, _, stderr) = run(&["--timeout", "0.2", r#"trap "" TERM; sleep 60"#]);
    assert_eq!(code, 137);
    assert!(
        stderr.contains("killed by signal 9, its time limit was reached"),
        "{stderr}"
    );
    assert!(
        began.elapsed() >= GRACE + Duration::from_millis(200),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn a_command_that_heeds_term_ends_at_its_time_limit() {
    let began = Instant::now();
    let (code, _, result) = run_json(&["--timeout", "0.2", "sleep 60"]);
    assert_eq!((code, number(&result, "signal")), (143, 15));
    assert_eq!(text(&result, "ended_by"), "limit");
    assert!(began.elapsed() < GRACE, "{:?}", began.elapsed());
    assert!(number(&result, "duration_us") >= 200_000, "{result:?}");

    let command = r#"trap "echo cleaned up; exit 3" TERM; while :; do sleep 0.01; done"#;
    let (code, stdout, result) = run_json(&["--timeout", "0.2", command]);
    assert!(stdout.ends_with("cleaned up\n"), "{stdout}");
    assert_eq!(code, 3);
    assert_eq!(text(&result, "ended_by"), "limit");
}

#[test]
fn what_the_command_leaves_behind_delays_nothing_and_does_not_stay() {
    let began = Instant::now();
    let (code, stdout, result) = run_json(&["sleep 30 & echo $!; echo ok"]);
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    assert_eq!((code, number(&result, "exit_code")), (0, 0));
    assert_eq!(result["output_open"], JsonValue::from(true));
    let (pid, rest) = stdout.split_once('\n').expect("two lines");
    assert_eq!(rest, "ok\n");
    assert!(!is_alive(pid.parse().expect("a pid")));
}

#[test]
fn a_snapshot_shows_both_ends_and_exact_numbers() {
    let (code, stdout, result) = run_json(&["--snapshot", "seq 1 1000000"]);
    assert_eq!(code, 0);
    assert!(stdout.starts_with("1\n2\n3\n"), "{}", &stdout[..20]);
    assert!(stdout.ends_with("\n999999\n1000000\n"));
    let original = 6_888_896;
    let kept = 2 * (16 << 10);
    let marker = format!("\n\n... [omitted {} bytes] ...\n\n", original - kept);
    assert!(stdout.contains(&marker));
    assert_eq!(stdout.len() as u64, kept + marker.len() as u64);
    let truncated = &result["truncated"];
    assert_eq!(number(truncated, "original_bytes"), original);
    assert_eq!(number(truncated, "retained_bytes"), stdout.len() as u64);
    assert_eq!(number(truncated, "omitted_bytes"), original - kept);
    assert_eq!(text(truncated, "strategy"), "head_tail");
    assert_eq!(number(&result, "output_bytes"), original);

    let (_, again, stderr) = run(&["--snapshot", "seq 1 1000000"]);
    assert_eq!(again, stdout);
    let numbers = format!(
        "the snapshot shows {} bytes; {} of {original} bytes of the output are omitted",
        stdout.len(),
        original - kept
    );
    assert!(stderr.contains(&numbers), "{stderr}");

    let (_, stdout, result) = run_json(&["--snapshot", "seq 1 10"]);
    assert_eq!(
        stdout,
        (1..=10).map(|n| format!("{n}\n")).collect::<String>()
    );
    let members: &HashMap<String, JsonValue> = result.get().expect("an object");
    assert!(!members.contains_key("truncated"), "{result:?}");
}

/// Whether the shell command prints what `seq` does.
fn assert_same_as_seq(shell: &str, last: &str) {
    let pipe = |command: &mut Command| {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it runs");
        let stdout = child.stdout.take().expect("a pipe");
        (child, BufReader::with_capacity(64 << 10, stdout))
    };
    let (mut ours, mut left) = pipe(
        Command::new("/bin/sh")
            .args(["-c", shell])
            .arg(program())
            .arg(last),
    );
    let (mut theirs, mut right) = pipe(Command::new("seq").args(["1", last]));
    let mut position = 0;
    loop {
        let (a, b) = (
            left.fill_buf().expect("bytes"),
            right.fill_buf().expect("bytes"),
        );
        let length = a.len().min(b.len());
        assert!(
            a[..length] == b[..length],
            "they differ after byte {position}"
        );
        if length == 0 {
            assert_eq!((a.len(), b.len()), (0, 0), "one is longer than {position}");
            break;
        }
        position += length;
        left.consume(length);
        right.consume(length);
    }
    assert!(ours.wait().expect("a wait").success());
    assert!(theirs.wait().expect("a wait").success());
}

#[test]
fn what_comes_through_is_what_was_written() {
    assert_same_as_seq(r#"exec "$0" "seq 1 $1""#, "10000000");
}

#[test]
fn what_comes_through_to_a_slow_reader_is_what_was_written() {
    assert_same_as_seq(r#""$0" "seq 1 $1" | (sleep 1; exec cat)"#, "2000000");
}

#[test]
fn much_output_is_counted_exactly_in_bounded_memory() {
    let place = tempfile::tempdir().expect("a directory");
    let peak = place.path().join("peak");
    // The command checks the memory of its parent, the example, after nearly all output has gone
    // through it.
    let shell = format!(
        "head -c 256M /dev/zero; grep VmHWM /proc/$PPID/status > '{}'",
        peak.display()
    );
    let mut discarding = Command::new("/bin/sh");
    discarding
        .args(["-c", r#"exec "$0" --json "$1" >/dev/null"#])
        .args([program().as_os_str(), OsStr::new(&shell)]);
    let (code, _, result) = finish_json(discarding);
    assert_eq!(code, 0);
    assert_eq!(number(&result, "output_bytes"), 256 << 20);
    let peak = fs::read_to_string(peak).expect("a line");
    let kib = peak
        .split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse::<u32>().ok());
    assert!(kib.is_some_and(|kib| kib < 16 << 10), "{peak}");

    let (_, stdout, result) = run_json(&["head -c 64M /dev/zero"]);
    assert_eq!(
        (stdout.len(), number(&result, "output_bytes")),
        (64 << 20, 64 << 20)
    );
}

#[test]
fn output_comes_as_it_is_written_and_in_order() {
    let place = tempfile::tempdir().expect("a directory");
    let go = place.path().join("go");
    let command = format!(
        "echo one; echo two >&2; until [ -e '{}' ]; do sleep 0.01; done; echo three",
        go.display()
    );
    let (child, mut stdout) = spawn(&[&command]);
    assert_eq!(next_line(&mut stdout), "one\n");
    assert_eq!(next_line(&mut stdout), "two\n");
    fs::write(go, "").expect("a file");
    let (code, rest, said) = end(child, stdout);
    assert_eq!((code, rest.as_str()), (0, "three\n"));
    assert!(said.contains("14 bytes of output"), "{said}");
}

#[test]
fn ctrl_c_lets_the_command_clean_up() {
    let command = r#"trap "echo cleaned up; exit 7" TERM; echo up; while :; do sleep 0.01; done"#;
    let (child, mut stdout) = spawn(&[command]);
    assert_eq!(next_line(&mut stdout), "up\n");
    interrupt(&child);
    let (code, rest, said) = end(child, stdout);
    // TERM goes to the whole group, and some shells print a message about the end of the sleep.
    assert!(rest.ends_with("cleaned up\n"), "{rest}");
    assert_eq!(code, 7);
    assert!(said.contains("stopping the command"), "{said}");
    assert!(
        said.contains("exited with code 7, stopped by Ctrl-C"),
        "{said}"
    );
}

#[test]
fn ctrl_c_kills_what_ignores_it_after_the_grace_period() {
    let command = r#"trap "" TERM INT; echo $$; sleep 60 & echo $!; wait; sleep 60"#;
    let (child, mut stdout) = spawn(&[command]);
    let pids = [(); 2].map(|()| next_line(&mut stdout).trim().parse().expect("a pid"));
    let began = Instant::now();
    interrupt(&child);
    // The second one changes nothing.
    interrupt(&child);
    let (code, _, said) = end(child, stdout);
    assert_eq!(code, 137);
    assert!(
        said.contains("killed by signal 9, stopped by Ctrl-C"),
        "{said}"
    );
    assert!(began.elapsed() >= GRACE, "{:?}", began.elapsed());
    assert!(!pids.into_iter().any(is_alive));
}

#[test]
fn a_reader_that_goes_away_ends_it() {
    let (child, mut stdout) = spawn(&["echo $$; exec yes"]);
    let pid = next_line(&mut stdout).trim().parse().expect("a pid");
    drop(stdout);
    let (code, _, said) = end(child, std::io::empty());
    assert_eq!(code, 143);
    assert!(
        said.contains("stopped because no process reads its output"),
        "{said}"
    );
    assert!(!is_alive(pid));
}

#[test]
fn wrong_arguments_are_a_usage_and_2() {
    let cases: [&[&str]; 7] = [
        &[],
        &["--no-such-option", "true"],
        &["--timeout", "true"],
        &["--timeout", "soon", "true"],
        &["--timeout", "0", "true"],
        &["--timeout", "-1", "true"],
        &["true", "false"],
    ];
    for arguments in cases {
        let (code, stdout, stderr) = run(arguments);
        assert_eq!((code, stdout.as_str()), (2, ""), "{arguments:?}: {stderr}");
        let help = stderr.contains("Usage:") || stderr.contains("--help");
        assert!(help, "{arguments:?}: {stderr}");
    }
    let (code, stdout, _) = run(&["--help"]);
    assert_eq!(code, 0);
    for option in [
        "--timeout",
        "--dir",
        "--env",
        "--owner",
        "--snapshot",
        "--json",
    ] {
        assert!(stdout.contains(option), "{option} in {stdout}");
    }
}

#[test]
fn what_cannot_be_started_is_said() {
    for (arguments, expected, offender) in [
        (
            &["--dir", "/no/such/directory", "true"][..],
            127,
            "/no/such/directory",
        ),
        (&["--dir", "/dev/null", "true"], 126, "/dev/null"),
        (
            &["--env", "=value", "true"],
            126,
            "variable: its name is empty",
        ),
        (&[""], 126, "command: it is empty"),
    ] {
        let (code, stdout, stderr) = run(arguments);
        assert_eq!((code, stdout.as_str()), (expected, ""), "{stderr}");
        assert!(stderr.contains(offender), "{stderr}");
    }
}

#[test]
fn options_reach_the_command() {
    let place = tempfile::tempdir().expect("a directory");
    let place = place.path().canonicalize().expect("a path");
    let directory = place.to_str().expect("text");
    let (code, stdout, result) = run_json(&[
        "--dir",
        directory,
        "--env",
        "ONE=a=b",
        "--env",
        "TWO=",
        "--owner",
        "me",
        r#"pwd -P; echo "$ONE${TWO-unset}""#,
    ]);
    assert_eq!((code, stdout), (0, format!("{directory}\na=b\n")));
    assert_eq!(text(&result, "directory"), directory);
    assert_eq!(text(&result, "owner"), "me");
    assert_eq!(text(&result, "state"), "exited");
    assert!(number(&result, "max_rss_kib") > 0, "{result:?}");
    assert_eq!(text(&result, "id").len(), 36);
}

#[test]
fn without_a_directory_it_runs_at_home() {
    let place = tempfile::tempdir().expect("a directory");
    let place = place.path().canonicalize().expect("a path");
    let at = |home: Option<&OsStr>| {
        let mut command = command(&["--json", "pwd -P"]);
        match home {
            Some(home) => command.env("HOME", home),
            None => command.env_remove("HOME"),
        };
        command.current_dir("/");
        let (code, stdout, result) = finish_json(command);
        assert_eq!(code, 0);
        let reported = PathBuf::from(text(&result, "directory"));
        let real = reported.canonicalize().expect("a directory");
        assert_eq!(stdout, format!("{}\n", real.display()));
        reported
    };
    assert_eq!(at(Some(place.as_os_str())), place);
    // A home that is not a directory counts as none: then the password database, then the host's
    // directory.
    let expected = home_in_database().unwrap_or_else(|| "/".into());
    assert_eq!(at(None), expected);
    assert_eq!(at(Some(place.join("gone").as_os_str())), expected);
}

/// The home directory of the current user in the password database, if it is a directory.
fn home_in_database() -> Option<PathBuf> {
    let user = fs::metadata("/proc/self")
        .expect("ourselves")
        .uid()
        .to_string();
    let output = Command::new("getent").args(["passwd", &user]).output();
    let line = String::from_utf8(output.expect("getent runs").stdout).expect("text");
    let home = line.split(':').nth(5).map(PathBuf::from);
    home.filter(|home| Path::is_dir(home))
}
