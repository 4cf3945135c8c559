//! procmgr through Rust.

use std::hint::black_box;
use std::io::Read;
use std::time::Duration;

use procmgr::{Config, Manager, Process, ReadOptions, Request, State, Stream};

use super::{Contender, Crowd};
use crate::protocol::BUFFER_BYTES;

pub(crate) struct ThroughRust(Manager);

impl ThroughRust {
    pub(crate) fn new() -> Self {
        ThroughRust(Manager::open(Config::new()).expect("it opens"))
    }
}

impl Contender for ThroughRust {
    type Child = (Process, u64);

    fn start(&self, command: &str) -> Self::Child {
        let process = self.0.start(&Request::new(command)).expect("it starts");
        (process, 0)
    }

    fn finish(&self, (process, _): Self::Child) {
        let status = process.wait().expect("it ends");
        assert_eq!(status.state, State::Exited(0));
    }

    fn read(&self, (process, cursor): &mut Self::Child, buffer: &mut [u8]) -> usize {
        let chunk = process
            .read(
                Stream::Stdout,
                *cursor,
                buffer,
                None,
                ReadOptions::default(),
            )
            .expect("it is there");
        *cursor = chunk.cursor;
        chunk.length
    }

    fn follow(&self, (process, _): &mut Self::Child) {
        let mut output = process.follow(Stream::Stdout);
        let mut buffer = [0; BUFFER_BYTES];
        while output.read(&mut buffer).expect("it is there") > 0 {}
    }

    fn wait(&self, (process, _): &mut Self::Child) {
        black_box(process.wait().expect("it ends"));
    }

    fn snapshot(&self, (process, _): &Self::Child) -> usize {
        let snapshot = process.output(Stream::Stdout).expect("it is there");
        snapshot.text.len()
    }

    fn crowd(&self, _watched: bool) -> Box<dyn Crowd> {
        let config = Config::new().max_processes(100_000);
        Box::new(Managed {
            manager: Manager::open(config).expect("it opens"),
            processes: Vec::new(),
        })
    }
}

struct Managed {
    manager: Manager,
    processes: Vec<Process>,
}

impl Crowd for Managed {
    fn start(&mut self, command: &str) {
        let started = self.manager.start(&Request::new(command));
        self.processes.push(started.expect("it starts"));
    }

    fn stop(&mut self) {
        let process = self.processes.pop().expect("one is left");
        let stopped = process.stop(Duration::ZERO).expect("it can be stopped");
        assert!(!stopped.status.is_running());
    }

    fn list(&self) {
        black_box(self.manager.list(None).expect("it is open"));
    }

    fn close(self: Box<Self>) {
        self.manager.close().expect("all of it ends");
    }
}
