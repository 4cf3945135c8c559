//! Starts leave nothing behind, however many there are: no zombie, no descriptor, no thread, and memory
//! that does not grow.
//!
//! `PROCMGR_LONG_RUN_STARTS` is the number of starts (500). The memory is checked from 50,000 on,
//! because with few starts the allocator's own variation is larger than a leak. One test, because it
//! counts resources of the whole program.
//!
//! It runs twice: first in a copy of this program in which glibc has one heap and no per-thread caches,
//! where the memory must not grow at all. Each cache holds up to seven pieces of every size for its
//! thread and fills up over some hundred thousand starts. So the second run, with the defaults, finds
//! only a record, a thread or an output that is not freed.

mod common;

use std::fs;
use std::process::Command;
use std::time::Instant;

use common::{eventually, wait, zombies};
use procmgr::{Config, Manager, Request, State};

/// The number of ended processes that are kept: few, so that memory becomes stable early.
const KEPT: usize = 64;

/// The number of starts from which on the memory is checked.
const ENOUGH: usize = 50_000;

fn entries(directory: &str) -> usize {
    fs::read_dir(directory).expect("it is there").count()
}

/// Resident memory, without pages of program files: they come when a part of a program runs for the
/// first time.
fn resident_bytes() -> f64 {
    let status = fs::read_to_string("/proc/self/status").expect("it is there");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
    let kib: f64 = number.expect("a number of kB");
    kib * 1024.0
}

/// The slope of the regression line.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean = |values: fn(&(f64, f64)) -> f64| points.iter().map(values).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let both: f64 = points
        .iter()
        .map(|point| (point.0 - x) * (point.1 - y))
        .sum();
    let square: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    both / square
}

const TUNABLES: &str = "GLIBC_TUNABLES";
const PLAIN_HEAP: &str = "glibc.malloc.tcache_count=0:glibc.malloc.arena_max=1";

#[test]
fn starts_leave_nothing_however_many_there_are() {
    let is_plain = std::env::var_os(TUNABLES).is_some_and(|tunables| tunables == PLAIN_HEAP);
    if !is_plain {
        let program = std::env::current_exe().expect("the test knows where it is");
        let mut copy = Command::new(program);
        copy.arg("--nocapture").env(TUNABLES, PLAIN_HEAP);
        assert!(copy.status().expect("it starts").success());
    }
    let most = if is_plain { 1.0 } else { 8.0 };
    let starts = std::env::var("PROCMGR_LONG_RUN_STARTS").ok();
    let starts: usize = starts.and_then(|text| text.parse().ok()).unwrap_or(500);
    // What the standard library and the allocator open once.
    drop(Manager::open(Config::new()).expect("a manager"));
    let before = (entries("/proc/self/fd"), entries("/proc/self/task"));

    let manager = Manager::open(Config::new().max_ended(KEPT)).expect("a manager");
    // Its own memory must not grow either.
    let mut memory = Vec::with_capacity(starts / 100);
    let began = Instant::now();
    for number in 0..starts {
        // One after the other and of similar size, because concurrent ones make the allocator's memory
        // vary.
        let command = if number % 10 == 0 {
            "echo some output"
        } else {
            ":"
        };
        let process = manager.start(&Request::new(command)).expect("a start");
        assert_eq!(wait(&process).state, State::Exited(0));
        // The first half warms up: by then each thread has touched its stack and its part of the heap.
        if number % 100 == 0 && number >= starts / 2 {
            memory.push((number as f64, resident_bytes()));
        }
    }
    let took = began.elapsed();
    let growth = slope(&memory);
    println!("{starts} starts in {took:?}, {growth:.3} bytes of resident memory more for each");
    if starts >= ENOUGH {
        assert!(growth < most, "{growth} bytes for each start");
    }

    manager.close().expect("nothing is left");
    assert!(zombies().is_empty());
    eventually("descriptors and threads are as many as before", || {
        (entries("/proc/self/fd"), entries("/proc/self/task")) == before
    });
}
