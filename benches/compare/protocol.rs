//! The protocol between the bench and a contender, and the jobs that every contender does in the same way.
//!
//! A contender is a process of its own, so the memory and the threads of one do not affect another. It reads
//! jobs from its standard input, one per line, the fields separated by tabs, and answers each with a line of numbers: times in
//! nanoseconds. The peers in other languages (`peers`) do the same.

use std::hint::black_box;
use std::io::{BufRead, Write};
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use crate::clock::{self, Nanos};
use crate::contenders::{Contender, Crowd};

/// What a read of output takes at most: what a pipe holds.
pub(crate) const BUFFER_BYTES: usize = 64 << 10;

/// The pause before each start that is not in a tight loop.
const SPACE: Duration = Duration::from_millis(1);

/// Does the jobs that come in, until the input ends.
pub(crate) fn serve(contender: &impl Contender) {
    clock::raise_descriptor_limit();
    let mut crowd = None;
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("the bench writes text");
        let fields: Vec<&str> = line.split('\t').collect();
        let numbers = job(contender, &mut crowd, &fields);
        let numbers: Vec<String> = numbers.iter().map(Nanos::to_string).collect();
        let mut out = std::io::stdout().lock();
        writeln!(out, "{}", numbers.join(" ")).expect("the bench reads");
        out.flush().expect("the bench reads");
    }
}

fn job(
    contender: &impl Contender,
    crowd: &mut Option<Box<dyn Crowd>>,
    fields: &[&str],
) -> Vec<Nanos> {
    let count = |field: usize| fields[field].parse::<usize>().expect("a number");
    let rounds = |round: &mut dyn FnMut() -> Nanos| (0..count(1)).map(|_| round()).collect();
    match fields[0] {
        "ballast" => {
            clock::hold_memory(count(1));
            Vec::new()
        }
        "start" | "spaced" => rounds(&mut || {
            if fields[0] == "spaced" {
                thread::sleep(SPACE);
            }
            let begun = clock::now();
            let child = contender.start(fields[2]);
            let took = clock::now() - begun;
            contender.finish(child);
            took
        }),
        "whole" => rounds(&mut || {
            let begun = clock::now();
            contender.finish(contender.start(fields[2]));
            clock::now() - begun
        }),
        "follow" => rounds(&mut || {
            let begun = clock::now();
            let mut child = contender.start(fields[2]);
            contender.follow(&mut child);
            contender.finish(child);
            clock::now() - begun
        }),
        "callers" => vec![many(contender, count(1), count(2), fields[3])],
        "arrival" => {
            let mut child = contender.start(fields[2]);
            let times = arrivals(count(1), |buffer| contender.read(&mut child, buffer));
            contender.finish(child);
            times
        }
        "exit" => rounds(&mut || {
            let mut child = contender.start(fields[2]);
            contender.wait(&mut child);
            let waited = clock::now();
            contender.finish(child);
            waited - clock::read_stamp(fields[3])
        }),
        "snapshot" => snapshots(contender, count(1), fields[2]),
        "crowd" => {
            let opened = crowd.insert(contender.crowd(fields[3] == "watched"));
            rounds(&mut || timed(|| opened.start(fields[2])))
        }
        "crowd-start" => rounds(&mut || timed(|| existing(crowd).start(fields[2]))),
        "crowd-stop" => rounds(&mut || timed(|| existing(crowd).stop())),
        "crowd-list" => rounds(&mut || timed(|| existing(crowd).list())),
        "crowd-close" => vec![timed(|| crowd.take().expect("it was opened").close())],
        other => panic!("there is no job {other}"),
    }
}

fn existing(crowd: &mut Option<Box<dyn Crowd>>) -> &mut dyn Crowd {
    crowd.as_deref_mut().expect("it was opened")
}

fn timed(action: impl FnOnce()) -> Nanos {
    let begun = clock::now();
    action();
    clock::now() - begun
}

/// The time per start and end when several callers start at once.
fn many(contender: &impl Contender, callers: usize, rounds: usize, command: &str) -> Nanos {
    let each = rounds / callers;
    // The time begins when all threads run.
    let ready = Barrier::new(callers + 1);
    let begun = thread::scope(|scope| {
        for _ in 0..callers {
            scope.spawn(|| {
                ready.wait();
                (0..each).for_each(|_| contender.finish(contender.start(command)));
            });
        }
        ready.wait();
        clock::now()
    });
    (clock::now() - begun) / (each * callers) as Nanos
}

/// The time from each write of a stamp to the return of the read that brings it.
fn arrivals(count: usize, mut read: impl FnMut(&mut [u8]) -> usize) -> Vec<Nanos> {
    let mut times = Vec::with_capacity(count);
    let mut buffer = [0; 64];
    loop {
        let length = read(&mut buffer);
        let now = clock::now();
        if length == 0 {
            return times;
        }
        let stamps = buffer[..length].chunks_exact(8);
        times.extend(stamps.map(|stamp| now - Nanos::from_ne_bytes(stamp.try_into().expect("8"))));
    }
}

fn snapshots(contender: &impl Contender, count: usize, command: &str) -> Vec<Nanos> {
    let mut child = contender.start(command);
    contender.wait(&mut child);
    // What the command wrote has arrived in every contender once the end is known.
    let times = (0..count).map(|_| timed(|| _ = black_box(contender.snapshot(&child))));
    let times = times.collect();
    contender.finish(child);
    times
}
