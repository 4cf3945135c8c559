//! The reader's job: it reads what there is, and then waits to be called for more, until nobody holds the pipes.
//!
//! Between two calls nobody but the kernel has anything to do with it. The job and the pipes are put back in the order in which
//! nothing is missed: the job first, so that whoever is woken finds it; then the pipes, of which the kernel tells what has
//! come meanwhile. Both under the desk's lock, so that an order either is found by the job or calls it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::{Desk, Inner};
use crate::output::Output;
use crate::reader::{Source, Turn, watch};
use crate::threads::{Call, Place};

/// How long a thread watches pipes itself that the kernel had no memory for to be waited for otherwise.
const UNHEARD_PAUSE: Duration = Duration::from_millis(50);

/// The job.
pub(super) struct Reading {
    guard: Guard,
    /// What is open, by the numbers of the outputs.
    sources: Vec<(usize, Arc<Source>)>,
}

/// Whatever ends the job, nobody waits for its output any more.
struct Guard(Arc<Inner>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.desk.lock().read = None;
        self.0
            .outputs
            .iter()
            .for_each(|output| self.0.output_gone(output));
    }
}

impl Reading {
    pub(super) fn new(process: &Arc<Inner>, sources: &[Arc<Source>]) -> Self {
        Reading {
            guard: Guard(Arc::clone(process)),
            sources: sources.iter().cloned().enumerate().collect(),
        }
    }

    /// Reads, and waits to be called again; or does what is to be done at the end.
    pub(super) fn run(mut self, mut place: Place) {
        loop {
            let abandon = self.begin();
            let are_more = self.read(abandon);
            if self.sources.is_empty() {
                return self.end(place);
            }
            if !are_more {
                match self.rest(place) {
                    Some(unrested) => (self, place) = unrested,
                    None => return,
                }
            }
        }
    }

    /// Keeps other threads from being woken meanwhile. True if the pipes are not to be read any more but for what is in them.
    fn begin(&self) -> bool {
        let desk = self.guard.0.desk.lock();
        self.sources.iter().for_each(|(_, source)| source.hush());
        desk.abandon
    }

    /// Waits to be called again, unless there is an order to be followed first.
    pub(super) fn rest(self, place: Place) -> Option<(Self, Place)> {
        let process = Arc::clone(&self.guard.0);
        let desk = process.desk.lock();
        if desk.abandon {
            return Some((self, place));
        }
        let call = place.call().clone();
        place.stand_by(|place| self.run(place));
        if !desk.listen() {
            let sources: Vec<_> = desk.open_sources().collect();
            drop(desk);
            watch(&sources, UNHEARD_PAUSE);
            call.now();
        }
        None
    }

    fn end(self, _place: Place) {
        let process = Arc::clone(&self.guard.0);
        drop(self);
        process.take_over();
    }

    /// Reads all pipes once, and closes those that have ended. True if there may be more.
    pub(super) fn read(&mut self, abandon: bool) -> bool {
        let process = &self.guard.0;
        let mut are_more = false;
        for (number, source) in std::mem::take(&mut self.sources) {
            if abandon {
                source.drain();
            } else if !source.has_ended() {
                are_more |= matches!(source.turn(), Turn::More);
            }
            if abandon || source.has_ended() {
                process.close(source, &process.outputs[number]);
            } else {
                self.sources.push((number, source));
            }
        }
        are_more
    }
}

impl Inner {
    fn close(self: &Arc<Self>, source: Arc<Source>, output: &Output) {
        {
            // A caller may have it still, and others must not put it back meanwhile.
            let _desk = self.desk.lock();
            source.leave();
        }
        // The descriptor goes before anybody is told that the output is closed.
        drop(source);
        self.output_gone(output);
    }

    /// Lets the reader take what is in the pipes and go, whoever still holds them.
    pub(crate) fn abandon_output(&self) {
        let mut desk = self.desk.lock();
        desk.abandon = true;
        desk.call_reader();
    }

    /// Lets a reader look again that found a lossless output full, or was not told of what there is.
    pub(super) fn resume_reading(&self) {
        self.desk.lock().resume_reading();
    }

    /// Takes what is in the pipes at this moment.
    pub(super) fn drain(&self) {
        let sources: Vec<_> = self.desk.lock().open_sources().collect();
        sources.iter().for_each(|source| source.drain());
    }
}

impl Desk {
    pub(super) fn open_sources(&self) -> impl Iterator<Item = Arc<Source>> {
        self.sources.iter().filter_map(Weak::upgrade)
    }

    /// Lets the reader be called by what is in the pipes, or comes next, unless somebody stands in for it. False if there is no
    /// memory for that.
    pub(super) fn listen(&self) -> bool {
        self.stand_in.is_some() || self.open_sources().all(|source| source.listen().is_ok())
    }

    /// Lets the reader be called by what is there, if it is not at work: then it listens itself before it rests, and would until
    /// then be a reason to wake further threads.
    pub(super) fn resume_reading(&self) {
        let is_resting = self.read.as_ref().is_some_and(Call::is_waiting);
        if is_resting && !self.listen() {
            self.call_reader();
        }
    }

    /// Lets the reader look at its orders now. If it is at work, it looks before it waits again.
    pub(super) fn call_reader(&self) {
        self.read.iter().for_each(Call::now);
    }
}
