//! The rows: the job, its contenders, how often.

use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::machine::Quiet;
use crate::peers::{ALL, Holdings, Kind, Peer, Programs};
use crate::table::{self, Against, Goal, Line, Row, Unit};

/// The shortest command.
const NOTHING: &str = ":";
/// How much is drained in all, unless the environment says otherwise.
const DRAIN_BYTES: u64 = 4 << 30;
const DRAIN_VARIABLE: &str = "PROCMGR_BENCH_DRAIN_BYTES";
/// The memory of a big host.
const BALLAST: &str = "1073741824";
/// How many idle children a host has whose memory and wake-ups are counted.
const IDLE: u64 = 500;
/// How many live in the rows about many.
const MANY: usize = 1_000;
const IDLE_TIME: Duration = Duration::from_secs(10);
const SLEEP: &str = "exec sleep 1000";
/// Writes twice.
const TWO_LINES: &str = "echo one; echo two";
/// Prints more than is kept, in lines of usual length.
const PRINTS: &str = "yes 'a line of output as it is usual, about seventy characters long, more or less' | head -c 100000";

const START: &str = "start returns, in a tight loop";
const SPACED: &str = "start returns, a millisecond apart";
const WHOLE: &str = "start and wait";
const FOLLOW: &str = "start, follow and wait";
const CALLERS: [(&str, &str); 2] = [
    ("8", "starts per second, 8 callers"),
    ("64", "starts per second, 64 callers"),
];
const READ: &str = "write to read";
const EXIT: &str = "exit to wait";
const HEAD: &str = "drain of head -c";
const YES: &str = "drain of yes";
const BIG: &str = "start returns, host of 1 GiB";
const MEMORY: &str = "idle child: resident memory";

/// The rows of the chart.
pub(crate) const PANELS: [&str; 6] = [START, FOLLOW, CALLERS[0].1, HEAD, READ, EXIT];

/// The rows that the last line sums up, and what they are called there.
const SUMMARY: [(&str, &str); 9] = [
    (START, "start"),
    (SPACED, "start with a pause"),
    (WHOLE, "start and wait"),
    (FOLLOW, "start to end"),
    (CALLERS[0].1, "starts/s with 8 callers"),
    (HEAD, "drain"),
    (READ, "write to read"),
    (EXIT, "exit to wait"),
    (MEMORY, "memory of an idle child"),
];

/// The ratios of procmgr through Rust in one line.
pub(crate) fn summary(rows: &[Row]) -> String {
    let parts = SUMMARY.iter().filter_map(|(name, short)| {
        let row = rows.iter().find(|row| row.name == *name)?;
        let line = row.lines.iter().find(|line| line.kind == Kind::Rust)?;
        let ratio = |against, of| {
            let ratio = row.ratio(line, against)?;
            Some(format!("{ratio:.2} of {of}"))
        };
        let ratios = [
            ratio(Against::Floor, "posix_spawn"),
            ratio(Against::Go, "Go"),
        ];
        let ratios: Vec<String> = ratios.into_iter().flatten().collect();
        (!ratios.is_empty()).then(|| format!("{short} {}", ratios.join(", ")))
    });
    parts.collect::<Vec<_>>().join("; ")
}

/// What one run of the bench does.
pub(crate) struct Bench {
    pub(crate) programs: Programs,
    /// Only rows whose name contains this.
    pub(crate) filter: String,
    /// A tenth of the rounds.
    pub(crate) quick: bool,
    pub(crate) quiet: Quiet,
    pub(crate) rows: Vec<Row>,
}

fn goal(against: Against, bound: f64) -> Goal {
    Goal { against, bound }
}

impl Bench {
    pub(crate) fn run(&mut self) {
        self.starts();
        self.starts_in_a_big_host();
        self.callers();
        self.drains();
        self.latencies();
        self.snapshots();
        self.idle();
        self.many();
    }

    fn starts(&mut self) {
        let goals = |floor| vec![goal(Against::Floor, floor), goal(Against::Go, 0.5)];
        self.turns(START, Unit::Time, goals(1.05), &ALL, 50, |_| {
            own(&["start", "10", NOTHING])
        });
        self.turns(SPACED, Unit::Time, goals(0.9), &ALL, 50, |_| {
            own(&["spaced", "10", NOTHING])
        });
        // Below Go: the measurement resolves one part in a hundred.
        let goals = || vec![goal(Against::Floor, 1.1), goal(Against::Go, 0.99)];
        self.turns(WHOLE, Unit::Time, goals(), &ALL, 50, |_| {
            own(&["whole", "10", NOTHING])
        });
        self.turns(FOLLOW, Unit::Time, goals(), &ALL, 50, |_| {
            own(&["follow", "10", TWO_LINES])
        });
    }

    /// One contender after the other: all of them at once would need a big machine.
    fn starts_in_a_big_host(&mut self) {
        if !self.wants(BIG) {
            return;
        }
        let turns = self.count(30);
        let mut lines = Vec::new();
        for kind in ALL {
            let (small, big) = (self.programs.start(kind), self.programs.start(kind));
            let (Some(mut small), Some(mut big)) = (small, big) else {
                continue;
            };
            big.ask(&["ballast", BALLAST]);
            let (mut in_small, mut in_big) = (Vec::new(), Vec::new());
            warm_up(&mut small);
            warm_up(&mut big);
            for _ in 0..turns {
                self.quiet.wait_for_quiet();
                in_small.extend(small.ask(&["start", "10", NOTHING]));
                in_big.extend(big.ask(&["start", "10", NOTHING]));
            }
            let mut line = Line::of(kind, in_big);
            line.elsewhere = Some(Line::of(kind, in_small).median());
            lines.push(line);
        }
        let goals = vec![goal(Against::Itself, 1.05)];
        self.add(BIG.into(), Unit::Time, goals, lines);
    }

    fn callers(&mut self) {
        for (callers, name) in CALLERS {
            let goals = vec![goal(Against::Floor, 0.97), goal(Against::Go, 1.25)];
            self.turns(name, Unit::PerSecond, goals, &ALL, 12, |quick| {
                let rounds = if quick { "64" } else { "192" };
                own(&["callers", callers, rounds, NOTHING])
            });
        }
    }

    fn drains(&mut self) {
        let turns = 8;
        let whole = std::env::var(DRAIN_VARIABLE).ok();
        let whole = whole.map_or(DRAIN_BYTES, |bytes| bytes.parse().expect("a number"));
        let bytes = whole / turns;
        let kinds = [&ALL[..], &[Kind::FloorYielding]].concat();
        let program = own_program();
        let sources = [
            (HEAD, format!("exec head -c {bytes} /dev/zero")),
            // The real one has no end, and a head behind it would be measured instead.
            (YES, format!("exec {program} child-yes {bytes}")),
        ];
        for (name, command) in sources {
            let unit = Unit::GigabytesPerSecond {
                bytes: bytes as f64,
            };
            let goals = vec![goal(Against::Go, 1.0)];
            self.turns(name, unit, goals, &kinds, turns as usize, |_| {
                own(&["whole", "1", &command])
            });
        }
    }

    fn latencies(&mut self) {
        let program = own_program();
        let goals = |of_go| vec![goal(Against::Go, of_go)];
        let writer = format!("exec {program} child-stamps 100");
        self.turns(READ, Unit::Time, goals(1.0), &ALL, 10, |_| {
            own(&["arrival", "100", &writer])
        });
        let stamp = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compare-stamp");
        let leaver = format!("exec {program} child-exit {}", quote(&stamp));
        let stamp = stamp.to_string_lossy();
        self.turns(EXIT, Unit::Time, goals(0.95), &ALL, 20, |_| {
            own(&["exit", "20", &leaver, &stamp])
        });
    }

    fn snapshots(&mut self) {
        let goals = vec![goal(Against::Nothing, 10_000.0)];
        let kinds = [Kind::Rust, Kind::C, Kind::GoPackage, Kind::Go];
        let name = "snapshot of a full buffer of 32 KiB";
        self.turns(name, Unit::Time, goals, &kinds, 20, |_| {
            own(&["snapshot", "200", PRINTS])
        });
    }

    /// Observed from outside, all of them at the same time.
    fn idle(&mut self) {
        let each = [MEMORY, "idle child: descriptors", "idle child: threads"];
        let wakes = "idle child: context switches in 10 s";
        if !each.iter().chain([&wakes]).any(|name| self.wants(name)) {
            return;
        }
        let count = IDLE.to_string();
        let kinds = [
            Kind::Rust,
            Kind::GoPackage,
            Kind::Refused,
            Kind::Floor,
            Kind::Go,
        ];
        let starters = kinds.iter().filter_map(|&kind| self.programs.start(kind));
        let mut peers: Vec<(Peer, Holdings, Holdings)> = starters
            .map(|mut peer| {
                warm_up(&mut peer);
                // What the host holds without children is not counted.
                peer.ask(&["crowd", "0", SLEEP, "watched"]);
                let before = peer.holdings();
                peer.ask(&["crowd-start", &count, SLEEP]);
                (peer, before, before)
            })
            .collect();
        // By then the last of them sleeps.
        thread::sleep(Duration::from_secs(1));
        for (peer, _, after) in &mut peers {
            *after = peer.holdings();
        }
        let line = |get: fn(&Holdings) -> u64| {
            let lines = peers.iter().map(|(peer, before, after)| {
                let more = get(after).saturating_sub(get(before));
                Line::of(peer.kind, vec![more as f64 / IDLE as f64])
            });
            lines.collect::<Vec<_>>()
        };
        let lines = [
            line(|held| held.resident),
            line(|held| held.descriptors),
            line(|held| held.threads),
        ];
        let [resident, descriptors, threads] = each;
        let [in_resident, in_descriptors, in_threads] = lines;
        let bound = vec![goal(Against::Nothing, 22.0 * 1024.0)];
        self.add(resident.into(), Unit::Kib, bound, in_resident);
        let bound = vec![goal(Against::Nothing, 4.0)];
        self.add(descriptors.into(), Unit::Count, bound, in_descriptors);
        self.add(threads.into(), Unit::Count, Vec::new(), in_threads);
        if self.wants(wakes) {
            // By then the idle threads of the warm-up have exited.
            thread::sleep(IDLE_TIME + Duration::from_secs(1));
            let before: Vec<u64> = peers.iter().map(|peer| peer.0.context_switches()).collect();
            thread::sleep(IDLE_TIME);
            let lines = peers.iter().zip(before).map(|((peer, ..), before)| {
                let more = peer.context_switches().saturating_sub(before);
                Line::of(peer.kind, vec![more as f64 / IDLE as f64])
            });
            let lines = lines.collect();
            self.add(
                wakes.into(),
                Unit::Count,
                vec![goal(Against::Nothing, 0.0)],
                lines,
            );
        }
        for (peer, ..) in &mut peers {
            peer.ask(&["crowd-close"]);
        }
    }

    fn many(&mut self) {
        let jobs: [(&str, &[&str]); 5] = [
            ("", &["crowd"]),
            ("a start", &["crowd-start", "20", SLEEP]),
            ("list", &["crowd-list", "20"]),
            ("stop of one", &["crowd-stop", "20"]),
            ("close of all", &["crowd-close"]),
        ];
        let names = jobs.map(|(name, _)| format!("{MANY} live children: {name}"));
        if !names.iter().any(|name| self.wants(name)) {
            return;
        }
        let kinds = [Kind::Rust, Kind::Floor];
        let mut samples = vec![[Vec::new(), Vec::new()]; jobs.len()];
        let starters = kinds.iter().filter_map(|&kind| self.programs.start(kind));
        let mut peers: Vec<Peer> = starters.collect();
        for _ in 0..self.count(10).min(3) {
            for (number, peer) in peers.iter_mut().enumerate() {
                for (samples, (name, job)) in samples.iter_mut().zip(jobs) {
                    if peer.kind.is_floor() && name == "list" {
                        continue;
                    }
                    let times = match job[0] {
                        "crowd" => peer.ask(&["crowd", &MANY.to_string(), SLEEP, "bare"]),
                        _ => peer.ask(job),
                    };
                    samples[number].extend(times);
                }
            }
        }
        // The starts that make them many are not a row.
        for (name, samples) in names.into_iter().zip(samples).skip(1) {
            let lines = kinds.iter().zip(samples);
            let lines = lines.filter(|(_, samples)| !samples.is_empty());
            let lines = lines
                .map(|(&kind, samples)| Line::of(kind, samples))
                .collect();
            self.add(name, Unit::Time, Vec::new(), lines);
        }
    }

    /// A row in which all contenders do the same job, in turns: each one does its first job, then each its second, and so on.
    fn turns(
        &mut self,
        name: &str,
        unit: Unit,
        goals: Vec<Goal>,
        kinds: &[Kind],
        turns: usize,
        job: impl Fn(bool) -> Vec<String>,
    ) {
        if !self.wants(name) {
            return;
        }
        let starters = kinds.iter().filter_map(|&kind| self.programs.start(kind));
        let mut peers: Vec<(Peer, Vec<f64>)> = starters.map(|peer| (peer, Vec::new())).collect();
        let job = job(self.quick);
        let job: Vec<&str> = job.iter().map(String::as_str).collect();
        peers.iter_mut().for_each(|(peer, _)| warm_up(peer));
        for turn in 0..self.count(turns) {
            // A contender does not always come after the same one.
            let first = turn % peers.len();
            let (behind, front) = peers.split_at_mut(first);
            for (peer, samples) in front.iter_mut().chain(behind) {
                self.quiet.wait_for_quiet();
                samples.extend(peer.ask(&job));
            }
        }
        let lines = peers.into_iter();
        let lines = lines.map(|(peer, samples)| Line::of(peer.kind, samples));
        self.add(name.into(), unit, goals, lines.collect());
    }

    fn wants(&self, name: &str) -> bool {
        name.contains(&self.filter)
    }

    fn count(&self, turns: usize) -> usize {
        if self.quick {
            turns.div_ceil(10).max(2)
        } else {
            turns
        }
    }

    /// Shows a row as soon as it is there, and keeps it.
    fn add(&mut self, name: String, unit: Unit, goals: Vec<Goal>, lines: Vec<Line>) {
        if !self.wants(&name) || lines.is_empty() {
            return;
        }
        let row = Row {
            name,
            unit,
            goals,
            lines,
        };
        let mut text = String::new();
        table::render_row(&mut text, &row);
        print!("{text}");
        self.rows.push(row);
    }
}

impl Line {
    fn of(kind: Kind, samples: Vec<f64>) -> Self {
        Line {
            kind,
            samples,
            elsewhere: None,
        }
    }
}

/// Runs some processes that are not measured: threads, caches and pages are there afterwards.
fn warm_up(peer: &mut Peer) {
    peer.ask(&["whole", "20", NOTHING]);
}

fn own(job: &[&str]) -> Vec<String> {
    job.iter().copied().map(String::from).collect()
}

/// This program as one word of a shell command.
fn own_program() -> String {
    quote(&std::env::current_exe().expect("the path of this program"))
}

/// A path as one word of a shell command.
fn quote(path: &Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', r"'\''"))
}
