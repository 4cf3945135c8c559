//! The contenders as the bench sees them: processes that are given jobs, and looked at from outside.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Who takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    Rust,
    C,
    Floor,
    FloorPolling,
    FloorYielding,
    FloorBeside,
    Std,
    Go,
    Python,
}

/// Those who do nearly every row. The other floors are for some.
pub(crate) const ALL: [Who; 6] = [
    Who::Rust,
    Who::C,
    Who::Floor,
    Who::Std,
    Who::Go,
    Who::Python,
];

impl Who {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Who::Rust => "procmgr, Rust",
            Who::C => "procmgr, C",
            Who::Floor => "floor",
            Who::FloorPolling => "floor, poll",
            Who::FloorYielding => "floor, yield and poll",
            Who::FloorBeside => "floor, beside threads",
            Who::Std => "std::process",
            Who::Go => "Go os/exec",
            Who::Python => "Python subprocess",
        }
    }

    pub(crate) fn is_ours(self) -> bool {
        matches!(self, Who::Rust | Who::C)
    }

    /// Not the one beside threads, which shows how far whoever is not alone can get.
    pub(crate) fn is_floor(self) -> bool {
        matches!(self, Who::Floor | Who::FloorPolling | Who::FloorYielding)
    }

    /// The argument by which this program becomes the contender.
    pub(crate) fn argument(self) -> &'static str {
        match self {
            Who::Rust => "rust",
            Who::C => "c",
            Who::Floor => "floor",
            Who::FloorPolling => "floor-polling",
            Who::FloorYielding => "floor-yielding",
            Who::FloorBeside => "floor-beside",
            Who::Std => "std",
            Who::Go => "go",
            Who::Python => "python",
        }
    }
}

/// How the contenders in other languages are started, as far as the languages are there.
pub(crate) struct Programs {
    own: PathBuf,
    go: Option<PathBuf>,
    python: Option<PathBuf>,
    /// What is missing, and why.
    pub(crate) missing: Vec<String>,
}

impl Programs {
    pub(crate) fn find() -> Self {
        let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
        let mut missing = Vec::new();
        let go = build_go(&peers.join("go")).map_err(|why| missing.push(format!("Go: {why}")));
        let has_python = Command::new("python3").arg("--version").output().is_ok();
        if !has_python {
            missing.push("Python: there is no python3".into());
        }
        Programs {
            own: std::env::current_exe().expect("the path of this program"),
            go: go.ok(),
            python: has_python.then(|| peers.join("peer.py")),
            missing,
        }
    }

    /// A new process of a contender; `None` if its language is not there.
    pub(crate) fn start(&self, who: Who) -> Option<Peer> {
        let mut command = match who {
            Who::Go => Command::new(self.go.as_ref()?),
            Who::Python => {
                let mut command = Command::new("python3");
                command.arg(self.python.as_ref()?);
                command
            }
            _ => {
                let mut command = Command::new(&self.own);
                command.args(["contender", who.argument()]);
                command
            }
        };
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the contender starts");
        Some(Peer {
            who,
            jobs: child.stdin.take(),
            answers: BufReader::new(child.stdout.take().expect("it is piped")),
            child,
        })
    }
}

fn build_go(source: &Path) -> Result<PathBuf, String> {
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compare-go");
    let built = Command::new("go")
        .args(["build", "-o"])
        .arg(&program)
        .arg(".")
        .current_dir(source)
        .output()
        .map_err(|error| error.to_string())?;
    match built.status.success() {
        true => Ok(program),
        false => Err(String::from_utf8_lossy(&built.stderr).into_owned()),
    }
}

/// A running contender.
pub(crate) struct Peer {
    pub(crate) who: Who,
    child: Child,
    /// Closed, it lets the contender go.
    jobs: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// What a process holds at a moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Holdings {
    pub(crate) resident: u64,
    pub(crate) anonymous: u64,
    pub(crate) descriptors: u64,
    pub(crate) threads: u64,
}

impl Peer {
    /// Has a job done, and gives its times in nanoseconds.
    pub(crate) fn ask(&mut self, job: &[&str]) -> Vec<f64> {
        let jobs = self.jobs.as_mut().expect("it is open until the end");
        let mut answer = String::new();
        let asked = writeln!(jobs, "{}", job.join("\t")).and_then(|()| jobs.flush());
        let answered = asked.and_then(|()| self.answers.read_line(&mut answer));
        let name = self.who.name();
        match answered {
            Ok(1..) => {}
            other => panic!("{name} failed at {job:?}: {other:?}"),
        }
        let number = |text: &str| text.parse().unwrap_or_else(|_| panic!("{name}: {answer}"));
        answer.split_whitespace().map(number).collect()
    }

    pub(crate) fn holdings(&self) -> Holdings {
        let rollup = self.read("smaps_rollup");
        let kib = |name| {
            let line = rollup.lines().find(|line| line.starts_with(name));
            let number = line.and_then(|line| line.split_whitespace().nth(1));
            number.expect("a size").parse::<u64>().expect("a number") << 10
        };
        let entries = |what| fs::read_dir(self.path(what)).expect("it runs").count() as u64;
        Holdings {
            resident: kib("Rss:"),
            anonymous: kib("Anonymous:"),
            descriptors: entries("fd"),
            threads: entries("task"),
        }
    }

    /// How often any of its threads has been scheduled away, of itself or not.
    pub(crate) fn context_switches(&self) -> u64 {
        let tasks = fs::read_dir(self.path("task")).expect("it runs");
        let statuses = tasks.flatten().map(|task| {
            // A thread that ends meanwhile counts for nothing.
            fs::read_to_string(task.path().join("status")).unwrap_or_default()
        });
        statuses
            .map(|status| {
                let lines = status
                    .lines()
                    .filter(|line| line.contains("_ctxt_switches"));
                let numbers = lines.filter_map(|line| line.split_whitespace().nth(1));
                numbers
                    .filter_map(|number| number.parse::<u64>().ok())
                    .sum::<u64>()
            })
            .sum()
    }

    fn read(&self, what: &str) -> String {
        fs::read_to_string(self.path(what)).expect("it runs")
    }

    fn path(&self, what: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{what}", self.child.id()))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.jobs.take());
        let _ = self.child.wait();
    }
}
