//! The contenders as the bench sees them: processes that receive jobs and are observed through `/proc`.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The contenders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Rust,
    C,
    GoPackage,
    /// Rust, in a host that may not call `pidfd_open`.
    Refused,
    Floor,
    FloorYielding,
    Std,
    Go,
    Python,
}

/// The contenders of most rows.
pub(crate) const ALL: [Kind; 8] = [
    Kind::Rust,
    Kind::C,
    Kind::GoPackage,
    Kind::Refused,
    Kind::Floor,
    Kind::Std,
    Kind::Go,
    Kind::Python,
];

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Rust => "procmgr, Rust",
            Kind::C => "procmgr, C",
            Kind::GoPackage => "procmgr, Go",
            Kind::Refused => "procmgr, no pidfd_open",
            Kind::Floor => "floor",
            Kind::FloorYielding => "floor, yielding",
            Kind::Std => "std::process",
            Kind::Go => "Go os/exec",
            Kind::Python => "Python subprocess",
        }
    }

    /// Whether the goals of the rows are its goals.
    pub(crate) fn has_goals(self) -> bool {
        matches!(self, Kind::Rust | Kind::C)
    }

    pub(crate) fn is_floor(self) -> bool {
        matches!(self, Kind::Floor | Kind::FloorYielding)
    }

    /// The argument by which this program becomes the contender.
    pub(crate) fn argument(self) -> &'static str {
        match self {
            Kind::Rust => "rust",
            Kind::C => "c",
            Kind::Refused => "rust-refused",
            Kind::Floor => "floor",
            Kind::FloorYielding => "floor-yielding",
            Kind::Std => "std",
            Kind::GoPackage | Kind::Go | Kind::Python => unreachable!("a program of its own"),
        }
    }
}

/// How the contenders in other languages are started, as far as the languages are there.
pub(crate) struct Programs {
    own: PathBuf,
    go: Option<PathBuf>,
    go_package: Option<PathBuf>,
    python: Option<PathBuf>,
    /// What is missing, and why.
    pub(crate) missing: Vec<String>,
}

impl Programs {
    pub(crate) fn find() -> Self {
        let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
        let mut missing = Vec::new();
        let go = build_go(&peers.join("go"), "compare-go", None);
        let go = go.map_err(|why| missing.push(format!("Go: {why}")));
        let library = own_directory().join("libprocmgr.a");
        let go_package = build_go(&peers.join("go"), "compare-go-package", Some(&library));
        let go_package = go_package.map_err(|why| missing.push(format!("Go package: {why}")));
        let has_python = Command::new("python3").arg("--version").output().is_ok();
        if !has_python {
            missing.push("Python: there is no python3".into());
        }
        Programs {
            own: std::env::current_exe().expect("the path of this program"),
            go: go.ok(),
            go_package: go_package.ok(),
            python: has_python.then(|| peers.join("peer.py")),
            missing,
        }
    }

    /// A new process of a contender; `None` if its language is not there.
    pub(crate) fn start(&self, kind: Kind) -> Option<Peer> {
        let mut command = match kind {
            Kind::Go => Command::new(self.go.as_ref()?),
            Kind::GoPackage => Command::new(self.go_package.as_ref()?),
            Kind::Python => {
                let mut command = Command::new("python3");
                command.arg(self.python.as_ref()?);
                command
            }
            _ => {
                let mut command = Command::new(&self.own);
                command.args(["contender", kind.argument()]);
                command
            }
        };
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the contender starts");
        Some(Peer {
            kind,
            jobs: child.stdin.take(),
            answers: BufReader::new(child.stdout.take().expect("it is piped")),
            child,
        })
    }
}

/// What a program needs that links the static library: `rustc --print native-static-libs`.
const SYSTEM_LIBRARIES: &str = "-lgcc_s -lutil -lrt -lpthread -lm -ldl -lc";

/// Builds the Go contender: with os/exec, or with procmgr's package and this library.
fn build_go(source: &Path, name: &str, library: Option<&Path>) -> Result<PathBuf, String> {
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let mut command = Command::new("go");
    command
        .args(["build", "-o"])
        .arg(&program)
        .current_dir(source)
        .env("GOFLAGS", "-mod=mod")
        .env("GOPROXY", "off")
        .env("GOTOOLCHAIN", "local")
        .env("GOWORK", "off");
    if let Some(library) = library {
        // Go's cache does not notice a new library: the size and time of the file are part of the flags.
        let about = library.metadata().map_err(|error| error.to_string())?;
        let build = format!("{:?} {}", about.modified().ok(), about.len());
        let build = build.bytes().fold(0_u32, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(byte.into())
        });
        command
            .args(["-tags", "procmgr_source"])
            .env("CGO_ENABLED", "1")
            .env("CGO_CFLAGS", format!("-g -O2 -DPROCMGR_BUILD={build}"))
            .env(
                "CGO_LDFLAGS",
                format!("{} {SYSTEM_LIBRARIES}", library.display()),
            );
    }
    let built = command
        .arg(".")
        .output()
        .map_err(|error| error.to_string())?;
    match built.status.success() {
        true => Ok(program),
        false => Err(String::from_utf8_lossy(&built.stderr).into_owned()),
    }
}

/// The directory of this program, in which cargo puts the libraries too.
fn own_directory() -> PathBuf {
    let own = std::env::current_exe().expect("the path of this program");
    own.parent().expect("it is in a directory").to_owned()
}

/// A running contender.
pub(crate) struct Peer {
    pub(crate) kind: Kind,
    child: Child,
    /// The contender exits when this is closed.
    jobs: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// What a process holds at a moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Holdings {
    pub(crate) resident: u64,
    pub(crate) descriptors: u64,
    pub(crate) threads: u64,
}

impl Peer {
    /// Sends a job and returns its times in nanoseconds.
    pub(crate) fn ask(&mut self, job: &[&str]) -> Vec<f64> {
        let jobs = self.jobs.as_mut().expect("it is open until the end");
        let mut answer = String::new();
        let asked = writeln!(jobs, "{}", job.join("\t")).and_then(|()| jobs.flush());
        let answered = asked.and_then(|()| self.answers.read_line(&mut answer));
        let name = self.kind.name();
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
            descriptors: entries("fd"),
            threads: entries("task"),
        }
    }

    /// The context switches of all its threads, voluntary or not.
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
