//! Where the numbers come from: the machine without its name, and the versions.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// One line per fact.
pub(crate) fn describe() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find(|line| line.starts_with("model name"));
    let model = model.and_then(|line| line.split(": ").nth(1));
    let cores = std::thread::available_parallelism().map_or(0, |cores| cores.get());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    // Only the version. What follows it names its builder.
    let kernel = kernel.split(['-', '\n']).next().unwrap_or_default();
    let lines = [
        format!("{}, {cores} cores", model.unwrap_or("unknown CPU")),
        format!("Linux {kernel}"),
        version("rustc", &["--version"]),
        version("go", &["version"]),
        version("python3", &["--version"]),
        version("date", &["-u", "+%Y-%m-%d"]),
    ];
    let known = lines.iter().filter(|line| !line.is_empty());
    known.map(|line| format!("- {line}\n")).collect()
}

fn version(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_string());
    text.unwrap_or_default()
}

/// The file of the table.
pub(crate) fn document(machine: &str, summary: &str, table: &str) -> String {
    format!(
        "# What it costs\n\n\
         Written by `PROCMGR_BENCH_SAVE=1 cargo bench -p procmgr-compare`; not edited by hand.\n\n\
         {machine}\n\
         {summary}\n\n\
         {INTRODUCTION}\n\
         {table}"
    )
}

/// What the rows and the contenders are.
const INTRODUCTION: &str = include_str!("introduction.md");

/// Waits for moments in which nothing else runs, as long as there is time for it.
///
/// It checks before a contender's turn and not after it, so the turns that are disturbed do not depend on the contender.
#[derive(Debug)]
pub(crate) struct Quiet {
    left: Duration,
    turns: u32,
    disturbed: u32,
}

/// How long the whole run waits for quiet at most.
const MAX_WAIT: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(2);
/// How long it waits before one turn at most.
const MAX_WAIT_OF_TURN: Duration = Duration::from_millis(200);

impl Quiet {
    pub(crate) fn new(quick: bool) -> Self {
        Quiet {
            left: if quick { MAX_WAIT / 30 } else { MAX_WAIT },
            turns: 0,
            disturbed: 0,
        }
    }

    pub(crate) fn wait_for_quiet(&mut self) {
        self.turns += 1;
        let began = Instant::now();
        let limit = self.left.min(MAX_WAIT_OF_TURN);
        while !is_quiet() {
            if began.elapsed() >= limit {
                self.disturbed += 1;
                break;
            }
            thread::sleep(POLL_INTERVAL);
        }
        self.left = self.left.saturating_sub(began.elapsed());
    }

    pub(crate) fn describe(&self) -> String {
        format!(
            "{} of {} turns began while something else ran",
            self.disturbed, self.turns
        )
    }
}

/// Whether this thread is the only one that runs.
fn is_quiet() -> bool {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let running = load
        .split(' ')
        .nth(3)
        .and_then(|field| field.split('/').next());
    running.is_none_or(|running| matches!(running, "0" | "1"))
}
