//! The table of keys and the exit state, checked under every order in which their threads can run.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release --lib model` runs the models. In a model, a spawn is a
//! counter and ending a process is [`ExitState::end`]; the rest is the code of the library.
//! `LOOM_MAX_PREEMPTIONS` bounds the search.

use std::sync::atomic::{AtomicUsize, Ordering};

use loom::sync::Arc;
use loom::thread;

use crate::error::Error;
use crate::exit::ExitState;
use crate::id::Id;
use crate::keys::{CancelOutcome, Claim, KeyTable, OwnedKey};
use crate::request::Request;
use crate::status::{EndedBy, State, Usage};
use crate::time::Deadline;

/// What the threads of a model share.
struct World {
    keys: KeyTable,
    key: OwnedKey,
    request: Request,
    exit: ExitState,
    /// Not an atomic of loom: it is read after the threads have ended, and must not add orders to explore.
    spawns: AtomicUsize,
}

#[derive(Debug)]
enum Start {
    Own(Id),
    Attached(Id),
    Refused(Error),
}

impl World {
    fn new() -> Arc<Self> {
        Arc::new(World {
            keys: KeyTable::new(2),
            key: OwnedKey {
                owner: None,
                key: vec![1],
            },
            request: Request::new("true"),
            exit: ExitState::new(),
            spawns: AtomicUsize::new(0),
        })
    }

    /// A start as the manager does it. `outcome` is that of the spawn.
    fn start(&self, outcome: Result<(), Error>) -> Start {
        let fingerprint = self.keys.fingerprint(&self.request);
        let id = Id::random();
        match self.keys.claim(&self.key, fingerprint, id, Deadline::NEVER) {
            Err(error) => Start::Refused(error),
            Ok(Claim::Started(id)) => Start::Attached(id),
            Ok(Claim::Acquired(pending)) => {
                if let Err(error) = pending.check_not_canceled().and(outcome) {
                    if matches!(error, Error::Spawn { .. }) {
                        pending.fail(&error);
                    }
                    return Start::Refused(error);
                }
                self.spawns.fetch_add(1, Ordering::Relaxed);
                if pending.mark_started() {
                    self.kill();
                }
                Start::Own(id)
            }
        }
    }

    fn cancel(&self) -> CancelOutcome {
        self.cancel_until(Deadline::NEVER)
    }

    fn cancel_until(&self, deadline: Deadline) -> CancelOutcome {
        let canceled = self
            .keys
            .cancel(&self.key, deadline)
            .expect("there is room");
        if matches!(canceled, CancelOutcome::Started(_)) {
            self.kill();
        }
        canceled
    }

    /// Requests the end of the process and ends it.
    fn kill(&self) {
        self.exit
            .with_unreaped(|requests| requests.end(EndedBy::Cancel));
        self.exit.end(|| Some((State::Exited(0), Usage::default())));
    }

    fn spawns(&self) -> usize {
        self.spawns.load(Ordering::Relaxed)
    }
}

fn failure() -> Error {
    let error = std::io::Error::from_raw_os_error(2);
    Error::spawn(crate::error::Step::Execute, "it", error)
}

#[test]
fn model_two_starts_and_a_cancel() {
    loom::model(|| {
        let world = World::new();
        let other = Arc::clone(&world);
        let second = thread::spawn(move || other.start(Ok(())));
        let other = Arc::clone(&world);
        let cancel = thread::spawn(move || other.cancel());
        let first = world.start(Ok(()));
        let second = second.join().expect("no panic");
        let canceled = cancel.join().expect("no panic");
        assert!(world.spawns() <= 1);
        match canceled {
            // The cancel has prevented both starts, or neither.
            CancelOutcome::NeverStarted => {
                assert_eq!(world.spawns(), 0);
                for start in [first, second] {
                    assert!(
                        matches!(start, Start::Refused(Error::Canceled)),
                        "{start:?}"
                    );
                }
            }
            CancelOutcome::Started(id) => {
                assert_eq!(world.spawns(), 1);
                assert!(world.exit.now().is_some(), "what was canceled is ended");
                for start in [&first, &second] {
                    assert!(
                        matches!(start, Start::Own(own) | Start::Attached(own) if *own == id),
                        "{start:?}"
                    );
                }
                let own = |start: &Start| matches!(start, Start::Own(_));
                assert!(own(&first) != own(&second));
            }
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn model_a_start_and_a_cancel_that_does_not_wait() {
    loom::model(|| {
        let world = World::new();
        let other = Arc::clone(&world);
        let cancel = thread::spawn(move || other.cancel_until(Deadline::now()));
        let start = world.start(Ok(()));
        let canceled = cancel.join().expect("no panic");
        let ended = world.exit.now().is_some();
        match (&start, &canceled) {
            (
                Start::Refused(Error::Canceled),
                CancelOutcome::NeverStarted | CancelOutcome::StillPending,
            ) => {
                assert_eq!(world.spawns(), 0);
            }
            // The cancel came too late to prevent the start: it has ended the process, or the start has.
            (Start::Own(_), CancelOutcome::Started(_) | CancelOutcome::StillPending) => {
                assert!(ended)
            }
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn model_two_starts_of_one_that_fails() {
    loom::model(|| {
        let world = World::new();
        let other = Arc::clone(&world);
        let second = thread::spawn(move || other.start(Err(failure())));
        let first = world.start(Err(failure()));
        let second = second.join().expect("no panic");
        for start in [first, second, world.start(Ok(()))] {
            assert!(
                matches!(start, Start::Refused(Error::Spawn { .. })),
                "{start:?}"
            );
        }
        assert_eq!(world.spawns(), 0);
        assert!(matches!(world.cancel(), CancelOutcome::NeverStarted));
    });
}

#[test]
fn model_a_start_a_second_one_and_closing() {
    loom::model(|| {
        let world = World::new();
        let other = Arc::clone(&world);
        let second = thread::spawn(move || other.start(Ok(())));
        let other = Arc::clone(&world);
        let close = thread::spawn(move || other.keys.close());
        // The close refuses this start just before its spawn. The key is released; the other start
        // acquires it or is refused.
        let first = world.start(Err(Error::Closed));
        let second = second.join().expect("no panic");
        close.join().expect("no panic");
        match (&first, &second) {
            (Start::Attached(a), Start::Own(b)) => assert_eq!(a, b),
            (Start::Refused(Error::Closed), Start::Own(_) | Start::Refused(Error::Closed)) => {}
            other => panic!("{other:?}"),
        }
        assert_eq!(world.spawns(), usize::from(matches!(second, Start::Own(_))));
    });
}

#[test]
fn model_every_waiter_sees_the_same_end() {
    loom::model(|| {
        let exit = Arc::new(ExitState::new());
        let other = Arc::clone(&exit);
        let waiter = thread::spawn(move || {
            let end = other.wait(Deadline::NEVER).expect("it waits for ever");
            // After a waiter has seen the end, the process is not running for it any more.
            assert!(other.with_unreaped(|_| ()).is_none());
            end.ended_by
        });
        let other = Arc::clone(&exit);
        let signaller = thread::spawn(move || {
            other
                .with_unreaped(|requests| requests.signal(9, true))
                .is_some()
        });
        exit.end(|| {
            let signal = 9;
            let core_dumped = false;
            let state = State::Signaled {
                signal,
                core_dumped,
            };
            Some((state, Usage::default()))
        });
        let signalled = signaller.join().expect("no panic");
        let by = waiter.join().expect("no panic");
        assert_eq!(by == EndedBy::Signal, signalled);
    });
}
