//! The exit state of a leader: whether it runs or how it ended, and the callers that wait for the end.
//!
//! The end is recorded once and does not change. Every waiter is woken by it. An action of
//! [`ExitState::with_unreaped`] runs before the leader is reaped, or not at all. The callers pass closures
//! that reap and signal, so this module uses no pid.
//!
//! Lock order: an exit state has one lock. While it is held, the leader is signalled or reaped, the outputs
//! are marked, and the slot of the process is freed. All of these take leaf locks only.

use std::time::{Instant, SystemTime};

use crate::status::{EndedBy, State, Usage};
use crate::sync::{Condvar, Mutex, MutexGuard};
use crate::sys::clock::now_in_ticks;
use crate::time::Deadline;

/// How a leader ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ExitRecord {
    pub(crate) state: State,
    pub(crate) ended_by: EndedBy,
    pub(crate) usage: Usage,
    pub(crate) at: SystemTime,
    pub(crate) instant: Instant,
    /// When it was recorded, in clock ticks since the boot.
    pub(crate) ticks: u64,
}

#[derive(Debug)]
pub(crate) struct ExitState {
    /// Protects the record and the requests.
    data: Mutex<ExitData>,
    /// Notified, with `data`, when the end is recorded and when the leader is abandoned.
    ended: Condvar,
}

#[derive(Debug)]
struct ExitData {
    record: Option<ExitRecord>,
    requests: StopRequests,
    /// A close could not end the leader: callers do not wait for the end any more.
    abandoned: bool,
}

/// What a caller has waited for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Waited {
    Ended(ExitRecord),
    TimedOut,
    /// A close could not end the leader.
    Abandoned,
}

/// The signals and requests to end that the leader was sent. They decide what has ended it.
#[derive(Debug, Default)]
pub(crate) struct StopRequests {
    /// The first request to end.
    by: Option<EndedBy>,
    /// The signals that were sent, one bit each.
    signals: u64,
    /// Whether one of them asks to end.
    signalled_to_end: bool,
}

impl StopRequests {
    /// Records a request to end. The first one counts.
    pub(crate) fn end(&mut self, by: EndedBy) {
        self.by.get_or_insert(by);
    }

    /// Records a signal that is sent to the leader.
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

impl ExitState {
    pub(crate) fn new() -> Self {
        ExitState {
            data: Mutex::new(ExitData {
                record: None,
                requests: StopRequests::default(),
                abandoned: false,
            }),
            ended: Condvar::new(),
        }
    }

    /// Runs `action` if the leader has not ended. The leader cannot be reaped meanwhile.
    pub(crate) fn with_unreaped<T>(
        &self,
        action: impl FnOnce(&mut StopRequests) -> T,
    ) -> Option<T> {
        let mut data = self.data.lock();
        match data.record {
            Some(_) => None,
            None => Some(action(&mut data.requests)),
        }
    }

    /// Records the end that `reap` returns, if any. `reap` runs under the lock, so that no caller sees
    /// a leader that is reaped and has not ended. Does nothing if the end was recorded before. True if
    /// the end is recorded, now or before.
    pub(crate) fn end(&self, reap: impl FnOnce() -> Option<(State, Usage)>) -> bool {
        let mut data = self.data.lock();
        if data.record.is_some() {
            return true;
        }
        // Before the number of the group can be given to another one.
        let ticks = now_in_ticks();
        let Some((state, usage)) = reap() else {
            return false;
        };
        data.record = Some(ExitRecord {
            state,
            ended_by: data.requests.ended_by(state),
            usage,
            at: SystemTime::now(),
            instant: Instant::now(),
            ticks,
        });
        self.ended.notify_all();
        true
    }

    /// The end, if it is recorded.
    pub(crate) fn now(&self) -> Option<ExitRecord> {
        self.data.lock().record
    }

    /// Blocks until the end is recorded; `None` at the deadline.
    pub(crate) fn wait(&self, deadline: Deadline) -> Option<ExitRecord> {
        self.wait_while(deadline, |data| data.record.is_none())
            .record
    }

    /// The same for a caller of the library, which does not wait any more after [`abandon`](Self::abandon).
    pub(crate) fn wait_unless_abandoned(&self, deadline: Deadline) -> Waited {
        let data = self.wait_while(deadline, |data| data.record.is_none() && !data.abandoned);
        match data.record {
            Some(record) => Waited::Ended(record),
            None if data.abandoned => Waited::Abandoned,
            None => Waited::TimedOut,
        }
    }

    /// Blocks while the condition holds, up to the deadline.
    fn wait_while(
        &self,
        deadline: Deadline,
        condition: impl Fn(&ExitData) -> bool,
    ) -> MutexGuard<'_, ExitData> {
        let mut data = self.data.lock();
        while condition(&data) {
            match deadline.instant() {
                None => self.ended.wait(&mut data),
                Some(at) => {
                    if self.ended.wait_until(&mut data, at).timed_out() {
                        break;
                    }
                }
            }
        }
        data
    }

    /// Wakes the callers that wait for the end of a leader that could not be ended.
    pub(crate) fn abandon(&self) {
        self.data.lock().abandoned = true;
        self.ended.notify_all();
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
        let exit = ExitState::new();
        assert!(exit.now().is_none());
        assert!(exit.wait(Deadline::after(Duration::ZERO)).is_none());
        assert!(!exit.end(|| None));
        assert!(exit.now().is_none());
        assert!(exit.end(|| Some((State::Exited(3), Usage::default()))));
        assert!(exit.end(|| unreachable!("it is reaped once")));
        assert_eq!(
            exit.wait(Deadline::NEVER).map(|e| e.state),
            Some(State::Exited(3))
        );
        assert!(exit.with_unreaped(|_| ()).is_none());
    }

    #[test]
    fn the_first_request_to_end_counts() {
        let by = |ask: &dyn Fn(&mut StopRequests), state| {
            let mut requests = StopRequests::default();
            ask(&mut requests);
            requests.ended_by(state)
        };
        let exited = State::Exited(0);
        assert_eq!(by(&|_| (), died_of(9)), EndedBy::Nobody);
        assert_eq!(by(&|a| a.signal(15, true), exited), EndedBy::Signal);
        assert_eq!(by(&|a| a.signal(10, false), exited), EndedBy::Nobody);
        assert_eq!(by(&|a| a.signal(10, false), died_of(10)), EndedBy::Signal);
        assert_eq!(by(&|a| a.signal(10, false), died_of(9)), EndedBy::Nobody);
        let both = |a: &mut StopRequests| {
            a.signal(15, true);
            a.end(EndedBy::Limit);
            a.end(EndedBy::Close);
        };
        assert_eq!(by(&both, died_of(9)), EndedBy::Limit);
    }
}
