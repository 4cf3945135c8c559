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
use crate::sys::pidfd::PidFd;
use crate::threads::{Call, Place};

/// How long a thread watches pipes itself that the kernel had no memory for to be waited for otherwise.
const UNHEARD_PAUSE: Duration = Duration::from_millis(50);

/// The job.
pub(super) struct Reading {
    guard: Guard,
    /// What is open, by the numbers of the outputs.
    sources: Vec<(usize, Arc<Source>)>,
    leader: Option<Arc<PidFd>>,
    reap: Call,
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
    pub(super) fn new(
        process: &Arc<Inner>,
        sources: &[Arc<Source>],
        leader: Option<Arc<PidFd>>,
        reap: Call,
    ) -> Self {
        Reading {
            guard: Guard(Arc::clone(process)),
            sources: sources.iter().cloned().enumerate().collect(),
            leader,
            reap,
        }
    }

    /// Reads, and waits to be called again; or does what is to be done at the end.
    pub(super) fn run(mut self, place: Place) {
        let process = Arc::clone(&self.guard.0);
        loop {
            let abandon = process.desk.lock().abandon;
            let are_more = self.read(abandon);
            if self.sources.is_empty() {
                break;
            }
            let desk = process.desk.lock();
            if are_more || desk.abandon {
                continue;
            }
            let call = place.call().clone();
            place.stand_by(|place| self.run(place));
            if !desk.listen() {
                let sources: Vec<_> = desk.open_sources().collect();
                drop(desk);
                watch(&sources, UNHEARD_PAUSE);
                call.now();
            }
            return;
        }
        let Reading {
            guard,
            leader,
            reap,
            ..
        } = self;
        drop(guard);
        if let Some(leader) = leader {
            process.take_over(&leader, &reap);
        }
    }

    /// Reads all pipes once, and closes those that have ended. True if there may be more.
    fn read(&mut self, abandon: bool) -> bool {
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

    /// Lets a reader that found a lossless output full go on.
    pub(super) fn resume_reading(&self) {
        let desk = self.desk.lock();
        if !desk.listen() {
            desk.call_reader();
        }
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

    /// Lets the reader look at its orders now. If it is at work, it looks before it waits again.
    pub(super) fn call_reader(&self) {
        self.read.iter().for_each(Call::now);
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::time::{Instant, SystemTime};

    use super::*;
    use crate::config::{Config, StartMethod};
    use crate::cookie::{Host, Origin};
    use crate::environment::Base;
    use crate::id::Id;
    use crate::output::{Notify, ReadOptions, ReadState, Sizes};
    use crate::process::{Crew, Observer, Settings};
    use crate::spawn::{Description, Pipes, spawn};
    use crate::status::About;
    use crate::sys::signal::KILL;
    use crate::sys::texts::Texts;
    use crate::threads::Pool;
    use crate::time::Deadline;

    struct Nobody;

    impl Observer for Nobody {
        fn ended(&self, _: Id, _: &About) {}
        fn output_closed(&self, _: Id, _: &About) {}
        fn done(&self, _: Id, _: &About) {}
        fn stopped(&self, _: Id, _: &About) {}
    }

    /// A process without a manager.
    fn start(pool: &Arc<Pool>, command: &str) -> Arc<Inner> {
        let origin = Origin {
            instance: Id::random(),
            host: Host::own(),
        };
        let config = Config::new();
        let base = Base::new(&config, origin, &[]);
        let id = Id::random();
        let mut arguments = Texts::default();
        for argument in ["/bin/sh", "-c", command] {
            arguments.push(&[argument.as_bytes()]);
        }
        let description = Description {
            program: OsStr::new("/bin/sh"),
            arguments,
            directory: None,
            environment: base.block(&config, &[], None, id),
            method: StartMethod::Automatic,
        };
        let crew = Crew::gather(pool).expect("threads");
        let pipes = Pipes::new(false).expect("a pipe");
        let pid = spawn(&description, &pipes).expect("a shell");
        let about = About {
            command: command.into(),
            directory: "/".into(),
            owner: None,
            background: false,
            keyed: false,
            started_at: SystemTime::now(),
            started: Instant::now(),
            ends_at: None,
            sequence: 1,
        };
        let settings = Settings {
            sizes: Sizes {
                head: 100,
                tail: 100,
                lossless: false,
            },
            max_line_bytes: 0,
            stop_grace: Duration::ZERO,
            pool: Arc::clone(pool),
            observer: Box::new(Nobody),
        };
        let process = Inner::new(id, pid, 1, about, settings);
        process.attend(crew, pipes.into_readers());
        process
    }

    /// Gives up an output in the midst of reading it.
    struct GivesUp(Arc<Inner>);

    impl Notify for GivesUp {
        fn who(&self) -> u64 {
            1
        }

        fn notify(&self) {
            self.0.abandon_output();
        }
    }

    /// The job is not there to be called then, and finds the order itself before it waits again.
    #[test]
    fn an_order_that_comes_while_the_reader_reads_is_followed() {
        let pool = Pool::new(|| ()).expect("descriptors");
        let process = start(&pool, "sleep 0.01; echo line; exec sleep 600");
        let output = &process.outputs[0];
        output.watch(0, Arc::new(GivesUp(Arc::clone(&process))));
        // Without looking out, which would bring the bytes itself.
        let deadline = Deadline::after(Duration::from_secs(30));
        let (chunk, _) = output.read(5, &mut [0; 8], ReadOptions::default(), deadline, || None);
        assert_eq!(chunk.state, ReadState::Eof);
        assert!(process.ask_to_end(crate::status::EndedBy::Close, KILL));
        assert!(process.life.wait(deadline).is_some());
        assert!(pool.close(deadline));
    }
}
