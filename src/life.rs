//! Whether a process runs or how it ended, and those who wait for that.
//!
//! Owns the state of one leader. Promises: the end is recorded once and never changes; every waiter is woken by it; an
//! action done with [`Life::while_running`] happens before the leader is reaped or not at all. One lock; nothing of
//! ours is locked while it is held. Knows no pid: reaping and signalling are closures.

use std::time::{Instant, SystemTime};

use crate::status::{EndedBy, State, Usage};
use crate::sync::{Condvar, Mutex};
use crate::time::Deadline;

/// How a leader ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct End {
    pub(crate) state: State,
    pub(crate) ended_by: EndedBy,
    pub(crate) usage: Usage,
    pub(crate) at: SystemTime,
    pub(crate) instant: Instant,
}

#[derive(Debug)]
pub(crate) struct Life {
    /// Protects the end and what was asked for. Held while the leader is signalled or reaped; nothing is locked then.
    inner: Mutex<Inner>,
    /// Signalled, with `inner`, at the end.
    ended: Condvar,
}

#[derive(Debug)]
struct Inner {
    end: Option<End>,
    asked: Asked,
}

/// What the leader was asked to do, from which follows who ended it.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// The first one who asked for the end itself.
    by: Option<EndedBy>,
    /// Each signal sent, as a bit.
    signals: u64,
    /// Whether one of them asks to end.
    signalled_to_end: bool,
}

impl Asked {
    /// Somebody asks for the end; the first one counts.
    pub(crate) fn end(&mut self, by: EndedBy) {
        self.by.get_or_insert(by);
    }

    /// Somebody sends a signal.
    pub(crate) fn signal(&mut self, number: i32, asks_to_end: bool) {
        self.signals |= Self::bit(number);
        self.signalled_to_end |= asks_to_end;
    }

    fn ended_by(&self, state: State) -> EndedBy {
        let died_of_one = matches!(state, State::Signaled { signal, .. }
            if self.signals & Self::bit(signal) != 0);
        match self.by {
            Some(by) => by,
            None if died_of_one || self.signalled_to_end => EndedBy::Signal,
            None => EndedBy::Nobody,
        }
    }

    fn bit(signal: i32) -> u64 {
        1u64.checked_shl(signal as u32).unwrap_or(0)
    }
}

impl Life {
    pub(crate) fn new() -> Self {
        Life {
            inner: Mutex::new(Inner {
                end: None,
                asked: Asked::default(),
            }),
            ended: Condvar::new(),
        }
    }

    /// Runs `action` if the leader has not ended, so that it cannot be reaped meanwhile.
    pub(crate) fn while_running<T>(&self, action: impl FnOnce(&mut Asked) -> T) -> Option<T> {
        let mut inner = self.inner.lock();
        match inner.end {
            Some(_) => None,
            None => Some(action(&mut inner.asked)),
        }
    }

    /// Records the end, if there is one. `reap` runs under the lock, so that nobody who holds it finds a leader that is reaped
    /// and not ended. Does nothing when the end is known already. True if it is known now.
    pub(crate) fn end(&self, reap: impl FnOnce() -> Option<(State, Usage)>) -> bool {
        let mut inner = self.inner.lock();
        if inner.end.is_some() {
            return true;
        }
        let Some((state, usage)) = reap() else {
            return false;
        };
        inner.end = Some(End {
            state,
            ended_by: inner.asked.ended_by(state),
            usage,
            at: SystemTime::now(),
            instant: Instant::now(),
        });
        self.ended.notify_all();
        true
    }

    /// The end, if it has come.
    pub(crate) fn now(&self) -> Option<End> {
        self.inner.lock().end
    }

    /// Waits for the end; `None` when the deadline comes first.
    pub(crate) fn wait(&self, deadline: Deadline) -> Option<End> {
        let mut inner = self.inner.lock();
        while inner.end.is_none() {
            match deadline.instant() {
                None => self.ended.wait(&mut inner),
                Some(at) => {
                    if self.ended.wait_until(&mut inner, at).timed_out() {
                        break;
                    }
                }
            }
        }
        inner.end
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn died_of(signal: i32) -> State {
        State::Signaled {
            signal,
            core_dumped: false,
        }
    }

    #[test]
    fn the_first_end_stays() {
        let life = Life::new();
        assert!(life.now().is_none());
        assert!(life.wait(Deadline::after(Duration::ZERO)).is_none());
        assert!(!life.end(|| None));
        assert!(life.now().is_none());
        assert!(life.end(|| Some((State::Exited(3), Usage::default()))));
        assert!(life.end(|| unreachable!("it is reaped once")));
        assert_eq!(
            life.wait(Deadline::NEVER).map(|e| e.state),
            Some(State::Exited(3))
        );
        assert!(life.while_running(|_| ()).is_none());
    }

    #[test]
    fn who_asked() {
        let by = |ask: &dyn Fn(&mut Asked), state| {
            let mut asked = Asked::default();
            ask(&mut asked);
            asked.ended_by(state)
        };
        let exited = State::Exited(0);
        assert_eq!(by(&|_| (), died_of(9)), EndedBy::Nobody);
        assert_eq!(by(&|a| a.signal(15, true), exited), EndedBy::Signal);
        assert_eq!(by(&|a| a.signal(10, false), exited), EndedBy::Nobody);
        assert_eq!(by(&|a| a.signal(10, false), died_of(10)), EndedBy::Signal);
        assert_eq!(by(&|a| a.signal(10, false), died_of(9)), EndedBy::Nobody);
        let both = |a: &mut Asked| {
            a.signal(15, true);
            a.end(EndedBy::Limit);
            a.end(EndedBy::Close);
        };
        assert_eq!(by(&both, died_of(9)), EndedBy::Limit);
    }
}
