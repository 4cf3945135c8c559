//! The rows: who does which job how often, in turns.

use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::machine::Patience;
use crate::peers::{ALL, Holdings, Peer, Programs, Who};
use crate::table::{self, Against, Goal, Line, Row, Unit};

/// The shortest command.
const NOTHING: &str = ":";
/// How much is drained in all, unless the environment says otherwise.
const DRAIN_BYTES: u64 = 4 << 30;
const DRAIN_VARIABLE: &str = "PROCMGR_BENCH_DRAIN_BYTES";
/// The memory of a big host.
const BALLAST: &str = "1073741824";
/// How many idle children a host has whose memory and wake-ups are counted.
const IDLE: u64 = 1_000;
/// How many live in the row about many.
const MANY: usize = 2_000;
const IDLE_TIME: Duration = Duration::from_secs(10);
const SLEEP: &str = "exec sleep 1000";
/// Prints more than is kept, in lines of usual length.
const PRINTS: &str = "yes 'a line of output as it is usual, about seventy characters long, more or less' | head -c 100000";

/// What one run of the bench does.
pub(crate) struct Bench {
    pub(crate) programs: Programs,
    /// Only rows whose name contains this.
    pub(crate) filter: String,
    /// A tenth of the rounds.
    pub(crate) quick: bool,
    pub(crate) patience: Patience,
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
        let goals = vec![goal(Against::Floor, 1.2), goal(Against::Go, 0.65)];
        self.turns("start returns", Unit::Time, goals, &ALL, 50, |_| {
            own(&["start", "10", NOTHING])
        });
        // Below Go: one part in a hundred is what the measurement can tell.
        let goals = vec![goal(Against::Floor, 1.1), goal(Against::Go, 0.99)];
        self.turns("start to end known", Unit::Time, goals, &ALL, 50, |_| {
            own(&["whole", "10", NOTHING])
        });
    }

    /// Each contender by itself: all of them would need a big machine.
    fn starts_in_a_big_host(&mut self) {
        let kinds = [("start returns", "start"), ("start to end known", "whole")];
        let names = kinds.map(|(name, _)| format!("{name}, host of 1 GiB"));
        if !names.iter().any(|name| self.wants(name)) {
            return;
        }
        let turns = self.count(30);
        let mut lines = [Vec::new(), Vec::new()];
        for who in ALL {
            let (small, big) = (self.programs.start(who), self.programs.start(who));
            let (Some(mut small), Some(mut big)) = (small, big) else {
                continue;
            };
            big.ask(&["ballast", BALLAST]);
            for ((_, job), lines) in kinds.iter().zip(&mut lines) {
                let (mut in_small, mut in_big) = (Vec::new(), Vec::new());
                warm_up(&mut small);
                warm_up(&mut big);
                for _ in 0..turns {
                    self.patience.wait_for_quiet();
                    in_small.extend(small.ask(&[job, "10", NOTHING]));
                    in_big.extend(big.ask(&[job, "10", NOTHING]));
                }
                let mut line = Line::of(who, in_big);
                line.elsewhere = Some(Line::of(who, in_small).median());
                lines.push(line);
            }
        }
        for (name, lines) in names.into_iter().zip(lines) {
            // What is asked for is a start that does not grow with the host.
            let goals = match name.starts_with("start returns") {
                true => vec![goal(Against::Itself, 1.05)],
                false => Vec::new(),
            };
            self.add(name, Unit::Time, goals, lines);
        }
    }

    fn callers(&mut self) {
        for callers in ["1", "8", "64"] {
            let goals = match callers {
                "1" => Vec::new(),
                _ => vec![goal(Against::Go, 1.25)],
            };
            let name = format!("starts per second, callers: {callers}");
            self.turns(&name, Unit::PerSecond, goals, &ALL, 12, |quick| {
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
        let who = [&ALL[..], &[Who::FloorPolling, Who::FloorYielding]].concat();
        let program = own_program();
        let sources = [
            ("head", format!("exec head -c {bytes} /dev/zero")),
            // The real one has no end, and a head behind it would be what is measured.
            ("yes", format!("exec {program} child-yes {bytes}")),
        ];
        for (name, command) in sources {
            let name = format!("drain {} MiB from {name}", whole >> 20);
            let unit = Unit::GigabytesPerSecond {
                bytes: bytes as f64,
            };
            let goals = vec![goal(Against::Floor, 0.95), goal(Against::Go, 1.1)];
            self.turns(&name, unit, goals, &who, turns as usize, |_| {
                own(&["whole", "1", &command])
            });
        }
    }

    fn latencies(&mut self) {
        let program = own_program();
        let goals = vec![goal(Against::Floor, 1.3)];
        let writer = format!("exec {program} child-stamps 100");
        let name = "from a write to the return of the read";
        // Who can be woken by other things too has to wait before it reads.
        let who = [&ALL[..], &[Who::FloorPolling, Who::FloorBeside]].concat();
        self.turns(name, Unit::Time, goals.clone(), &who, 10, |_| {
            own(&["arrival", "100", &writer])
        });
        let stamp = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compare-stamp");
        let leaver = format!("exec {program} child-exit {}", quote(&stamp));
        let stamp = stamp.to_string_lossy();
        let name = "from the exit to the return of the wait";
        let who = [&ALL[..], &[Who::FloorBeside]].concat();
        self.turns(name, Unit::Time, goals, &who, 20, |_| {
            own(&["exit", "20", &leaver, &stamp])
        });
    }

    fn snapshots(&mut self) {
        let goals = vec![goal(Against::Nothing, 10_000.0)];
        let who = [Who::Rust, Who::C, Who::Go];
        let name = "snapshot of a full buffer of 32 KiB";
        self.turns(name, Unit::Time, goals, &who, 20, |_| {
            own(&["snapshot", "200", PRINTS])
        });
    }

    /// Looked at from outside, all of them at the same time.
    fn idle(&mut self) {
        let what = [
            "resident memory",
            "anonymous memory",
            "descriptors",
            "threads",
        ];
        let each = what.map(|what| format!("{what} per idle child, of {IDLE}"));
        let wakes = format!("context switches of {IDLE} idle children in 10 s");
        if !each.iter().chain([&wakes]).any(|name| self.wants(name)) {
            return;
        }
        let count = IDLE.to_string();
        let who = [Who::Rust, Who::Floor, Who::Go];
        let starters = who.iter().filter_map(|&who| self.programs.start(who));
        let mut peers: Vec<(Peer, Holdings, Holdings)> = starters
            .map(|mut peer| {
                warm_up(&mut peer);
                // What it has for itself is not a child's.
                peer.ask(&["crowd", "0", SLEEP, "watched"]);
                let before = peer.holdings();
                peer.ask(&["crowd-start", &count, SLEEP]);
                (peer, before, before)
            })
            .collect();
        // The last of them is asleep.
        thread::sleep(Duration::from_secs(1));
        for (peer, _, after) in &mut peers {
            *after = peer.holdings();
        }
        let line = |get: fn(&Holdings) -> u64| {
            let lines = peers.iter().map(|(peer, before, after)| {
                let more = get(after).saturating_sub(get(before));
                Line::of(peer.who, vec![more as f64 / IDLE as f64])
            });
            lines.collect::<Vec<_>>()
        };
        let lines = [
            line(|held| held.resident),
            line(|held| held.anonymous),
            line(|held| held.descriptors),
            line(|held| held.threads),
        ];
        let [resident, anonymous, descriptors, threads] = each;
        let [in_resident, in_anonymous, in_descriptors, in_threads] = lines;
        let bound = vec![goal(Against::Nothing, 22.0 * 1024.0)];
        self.add(resident, Unit::Kib, bound, in_resident);
        self.add(anonymous, Unit::Kib, Vec::new(), in_anonymous);
        let bound = vec![goal(Against::Nothing, 3.0)];
        self.add(descriptors, Unit::Count, bound, in_descriptors);
        self.add(threads, Unit::Count, Vec::new(), in_threads);
        if self.wants(&wakes) {
            // Threads that idle from the warm-up have left by then.
            thread::sleep(IDLE_TIME + Duration::from_secs(1));
            let before: Vec<u64> = peers.iter().map(|peer| peer.0.context_switches()).collect();
            thread::sleep(IDLE_TIME);
            let lines = peers.iter().zip(before).map(|((peer, ..), before)| {
                let more = peer.context_switches().saturating_sub(before);
                Line::of(peer.who, vec![more as f64])
            });
            let lines = lines.collect();
            self.add(wakes, Unit::Count, vec![goal(Against::Nothing, 0.0)], lines);
        }
        for (peer, ..) in &mut peers {
            peer.ask(&["crowd-close"]);
        }
    }

    fn many(&mut self) {
        let jobs: [(&str, &[&str]); 6] = [
            ("a start while they grow", &["crowd"]),
            ("a start", &["crowd-start", "20", SLEEP]),
            ("list", &["crowd-list", "20"]),
            ("inspect", &["crowd-inspect", "200"]),
            ("stop of one", &["crowd-stop", "20"]),
            ("close of all", &["crowd-close"]),
        ];
        let names = jobs.map(|(name, _)| format!("{MANY} live children: {name}"));
        if !names.iter().any(|name| self.wants(name)) {
            return;
        }
        let who = [Who::Rust, Who::Floor];
        let mut samples = vec![[Vec::new(), Vec::new()]; jobs.len()];
        let starters = who.iter().filter_map(|&who| self.programs.start(who));
        let mut peers: Vec<Peer> = starters.collect();
        for _ in 0..self.count(10).min(3) {
            for (number, peer) in peers.iter_mut().enumerate() {
                for (samples, (name, job)) in samples.iter_mut().zip(jobs) {
                    if peer.who.is_floor() && matches!(name, "list" | "inspect") {
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
        for (name, samples) in names.into_iter().zip(samples) {
            let lines = who.iter().zip(samples);
            let lines = lines.filter(|(_, samples)| !samples.is_empty());
            let lines = lines
                .map(|(&who, samples)| Line::of(who, samples))
                .collect();
            self.add(name, Unit::Time, Vec::new(), lines);
        }
    }

    /// A row in which all do the same job, in turns: each one's first job, each one's second, and so on.
    fn turns(
        &mut self,
        name: &str,
        unit: Unit,
        goals: Vec<Goal>,
        who: &[Who],
        turns: usize,
        job: impl Fn(bool) -> Vec<String>,
    ) {
        if !self.wants(name) {
            return;
        }
        let starters = who.iter().filter_map(|&who| self.programs.start(who));
        let mut peers: Vec<(Peer, Vec<f64>)> = starters.map(|peer| (peer, Vec::new())).collect();
        let job = job(self.quick);
        let job: Vec<&str> = job.iter().map(String::as_str).collect();
        peers.iter_mut().for_each(|(peer, _)| warm_up(peer));
        for turn in 0..self.count(turns) {
            // Nobody always comes after the same one.
            let first = turn % peers.len();
            let (behind, front) = peers.split_at_mut(first);
            for (peer, samples) in front.iter_mut().chain(behind) {
                self.patience.wait_for_quiet();
                samples.extend(peer.ask(&job));
            }
        }
        let lines = peers.into_iter();
        let lines = lines.map(|(peer, samples)| Line::of(peer.who, samples));
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
    fn of(who: Who, samples: Vec<f64>) -> Self {
        Line {
            who,
            samples,
            elsewhere: None,
        }
    }
}

/// What is done for the first time is not measured: threads, caches, pages.
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
