//! Where the numbers come from: the machine and the versions, without its name.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::Duration;

/// One line per fact.
pub(crate) fn describe() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find(|line| line.starts_with("model name"));
    let model = model.and_then(|line| line.split(": ").nth(1));
    let cores = std::thread::available_parallelism().map_or(0, |cores| cores.get());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    // Only the version: what follows it names who built it.
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
pub(crate) fn document(machine: &str, table: &str) -> String {
    format!(
        "# What it costs\n\n\
         Written by `PROCMGR_BENCH_SAVE=1 cargo bench --bench compare`; not edited by hand.\n\n\
         {machine}\n\
         All contenders of a row were measured in one run, turn by turn, each in a process of its own. Ratios hold;\n\
         absolute numbers drift with the machine. A ratio of times or sizes is better when it is smaller, one of rates\n\
         (per second) when it is greater. 10 % is what the best tenth of the samples reaches, 99 % what all but the worst\n\
         hundredth do. Ratios are those of the medians.\n\n\
         - **floor**: `posix_spawn` with file actions and no attributes, one pipe, bare `read` and `waitpid`, by libc's\n  \
           functions. It starts what procmgr starts (`/bin/sh -c`, standard input from `/dev/null`), but cleans nothing\n  \
           for the child. Beside an idle child it has two bare threads with stacks of 64 KiB.\n\
         - **floor, beside threads**: the same where output is also taken while nobody waits. Two threads sleep in an epoll with\n  \
           the pipe; who reads waits before them, in an epoll of his own, and reads until nothing is left, of which nobody else was\n  \
           told; who waits for the exit polls a pidfd and the pipe.\n\
         - **std::process**: the standard library alone, on the caller's thread.\n\
         - **Go os/exec**: one buffer (first and last 16 KiB) as standard output and error, a process group, a goroutine\n  \
           in `Wait`, which is how the Coder workspace agent uses it. A write has arrived when the buffer was given it.\n\
         - **Python subprocess**: `Popen`, reads of 64 KiB, `wait`, on the caller's thread.\n\n\
         {table}"
    )
}

/// Waits for moments in which nobody else computes, as long as there is time for it.
///
/// It looks before a contender's turn and not after, so that who is disturbed does not depend on who it is.
#[derive(Debug)]
pub(crate) struct Patience {
    left: Duration,
    turns: u32,
    disturbed: u32,
}

/// How long the whole run waits for quiet at most.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(2);
/// How long it waits for one turn.
const LOOKS: u32 = 100;

impl Patience {
    pub(crate) fn new(quick: bool) -> Self {
        Patience {
            left: if quick { PATIENCE / 30 } else { PATIENCE },
            turns: 0,
            disturbed: 0,
        }
    }

    pub(crate) fn wait_for_quiet(&mut self) {
        self.turns += 1;
        for _ in 0..LOOKS {
            if is_quiet() {
                return;
            }
            if self.left.is_zero() {
                break;
            }
            thread::sleep(LOOK_AGAIN);
            self.left = self.left.saturating_sub(LOOK_AGAIN);
        }
        self.disturbed += 1;
    }

    pub(crate) fn tell(&self) -> String {
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
