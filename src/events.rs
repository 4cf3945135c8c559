//! Events of processes, received by subscribers one after another.
//!
//! A [`Broadcaster`] holds the queues of the subscribers.
//!
//! - A thread that reports an event never waits for a subscriber. A queue is bounded; events that find
//!   it full are counted, and the count is reported.
//! - A subscriber that waits is woken when its manager is closed and when its subscription is closed.
//! - The descriptor of a subscription is readable while there may be an event.
//!
//! Lock order: the list of subscribers is protected by one lock, a leaf. Each queue has a lock of its
//! own, a leaf too. The two are never held together.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use parking_lot::Mutex;

use crate::error::Error;
use crate::id::Id;
use crate::output::Notify;
use crate::process::{Process, Stream};
use crate::sys::descriptor::EventFd;
use crate::time::Deadline;

/// The number of events that a subscription holds. Further ones are only counted.
pub const MAX_EVENTS: usize = 16_384;

/// Something that happened to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// It was started.
    Started(Id),
    /// Its leader has ended, and everything that the leader wrote can be read.
    Ended(Id),
    /// All of its streams have ended. Bytes written later are not read.
    OutputClosed(Id),
    /// A [watched](Events::watch) stream has a byte at or after the cursor, its process has ended, or the
    /// stream has ended.
    Readable(Id, Stream),
    /// A [background stop](Process::stop_in_background) has ended.
    Stopped(Id),
    /// This many events were dropped because the queue was full. Query the status of every process once.
    Missed(u64),
}

/// A subscription to the events of a manager or scope, made by [`Manager::events`](crate::Manager::events).
///
/// It receives what happens after it was made. Each event goes once to each subscription that sees the
/// process, except [`Event::Readable`], which goes only to the subscription that watched the stream.
/// Several threads may take events from one subscription; each event then goes to one of them.
pub struct Events {
    events: Receiver<Event>,
    queue: Arc<SubscriberQueue>,
    broadcaster: Arc<Broadcaster>,
    host_pid: u32,
}

/// The subscribers of one manager.
#[derive(Default)]
pub(crate) struct Broadcaster {
    /// False if the list is empty. Read without the lock, so that an event costs nothing without a
    /// subscriber.
    has_subscribers: AtomicBool,
    /// Protects the list of subscribers. A leaf.
    subscribers: Mutex<Subscribers>,
}

#[derive(Default)]
struct Subscribers {
    by_number: HashMap<u64, Arc<SubscriberQueue>>,
    last_number: u64,
    closed: bool,
}

/// The sending side of one subscription.
struct SubscriberQueue {
    number: u64,
    /// Only events of processes with this owner are received; `None` is every process.
    owner: Option<Arc<OsStr>>,
    /// `None` once it is closed, which disconnects the receiving side. A leaf.
    sender: Mutex<Option<Sender<Event>>>,
    /// Events that found the queue full, since the last [`Event::Missed`].
    lagged: AtomicU64,
    /// Made when the descriptor is first asked for.
    ready: OnceLock<EventFd>,
}

impl SubscriberQueue {
    fn push(&self, event: Event) {
        let sent = match &*self.sender.lock() {
            Some(sender) => sender.try_send(event).is_ok(),
            None => return,
        };
        if !sent {
            self.lagged.fetch_add(1, Ordering::AcqRel);
        }
        self.set_ready();
    }

    /// Makes the descriptor readable.
    fn set_ready(&self) {
        if let Some(ready) = self.ready.get() {
            ready.set();
        }
    }

    fn close(&self) {
        self.sender.lock().take();
        self.set_ready();
    }
}

impl Subscribers {
    /// The subscribers that receive the events of a process with this owner.
    fn of(&self, owner: Option<&OsStr>) -> impl Iterator<Item = &Arc<SubscriberQueue>> {
        let queues = self.by_number.values();
        queues.filter(move |queue| queue.owner.is_none() || queue.owner.as_deref() == owner)
    }
}

impl Broadcaster {
    /// Adds a subscriber to the events of one owner's processes, or of all (`None`).
    pub(crate) fn subscribe(self: &Arc<Self>, owner: Option<Arc<OsStr>>) -> Result<Events, Error> {
        let (sender, events) = bounded(MAX_EVENTS);
        let mut subscribers = self.subscribers.lock();
        if subscribers.closed {
            return Err(Error::Closed);
        }
        subscribers.last_number += 1;
        let queue = Arc::new(SubscriberQueue {
            number: subscribers.last_number,
            owner,
            sender: Mutex::new(Some(sender)),
            lagged: AtomicU64::new(0),
            ready: OnceLock::new(),
        });
        subscribers
            .by_number
            .insert(queue.number, Arc::clone(&queue));
        self.has_subscribers.store(true, Ordering::Release);
        drop(subscribers);
        Ok(Events {
            events,
            queue,
            broadcaster: Arc::clone(self),
            host_pid: std::process::id(),
        })
    }

    /// Sends an event of a process with this owner to its subscribers. Does not block.
    pub(crate) fn send(&self, event: Event, owner: Option<&OsStr>) {
        if !self.has_subscribers.load(Ordering::Acquire) {
            return;
        }
        let queues: Vec<_> = self.subscribers.lock().of(owner).cloned().collect();
        queues.iter().for_each(|queue| queue.push(event));
    }

    /// Closes all subscriptions. A subscriber gets [`Error::Closed`] after it has taken what is in its
    /// queue.
    pub(crate) fn close(&self) {
        let queues = {
            let mut subscribers = self.subscribers.lock();
            subscribers.closed = true;
            std::mem::take(&mut subscribers.by_number)
        };
        queues.values().for_each(|queue| queue.close());
    }

    fn remove(&self, number: u64) {
        let mut subscribers = self.subscribers.lock();
        let removed = subscribers.by_number.remove(&number);
        self.has_subscribers
            .store(!subscribers.by_number.is_empty(), Ordering::Release);
        drop(subscribers);
        drop(removed);
    }
}

impl Events {
    /// Takes the next event. Waits up to `timeout` (`None`: without a limit); `Ok(None)` if no event
    /// came in time.
    ///
    /// Fails with [`Error::Closed`] if the queue is empty and will stay so, because the manager or this
    /// subscription was closed.
    pub fn next(&self, timeout: Option<Duration>) -> Result<Option<Event>, Error> {
        self.check_host()?;
        let deadline = Deadline::from(timeout);
        let lagged = self.queue.lagged.swap(0, Ordering::AcqRel);
        if lagged > 0 {
            return Ok(Some(Event::Missed(lagged)));
        }
        let next = match deadline.instant() {
            Some(at) => self.events.recv_deadline(at),
            None => self
                .events
                .recv()
                .map_err(|_| RecvTimeoutError::Disconnected),
        };
        self.clear_ready();
        match next {
            Ok(event) => Ok(Some(event)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(Error::Closed),
        }
    }

    /// Makes the descriptor unreadable if the queue is empty.
    ///
    /// An event that is pushed meanwhile is not missed: if it was pushed before the second check, the
    /// check finds it; if after it, the push makes the descriptor readable again.
    fn clear_ready(&self) {
        if let Some(ready) = self.queue.ready.get() {
            if self.events.is_empty() {
                ready.clear();
                let closed = self.queue.sender.lock().is_none();
                let lagged = self.queue.lagged.load(Ordering::Acquire) > 0;
                if closed || lagged || !self.events.is_empty() {
                    ready.set();
                }
            }
        }
    }

    /// Requests one [`Event::Readable`]: when a byte of the stream at or after `cursor` is available, the
    /// process has ended, or the stream has ended. It is sent immediately if that is already so.
    ///
    /// The end of the process is reported once per subscription; after that, only bytes and the end of
    /// the stream are. A second call before the event replaces the cursor.
    ///
    /// With this, one thread can follow any number of processes: it reads with a timeout of zero,
    /// watches the streams that had nothing, and waits in [`next`](Events::next).
    pub fn watch(&self, process: &Process, stream: Stream, cursor: u64) -> Result<(), Error> {
        self.check_host()?;
        let watch = ReadableWatch {
            queue: Arc::clone(&self.queue),
            event: Event::Readable(process.id(), stream),
        };
        process.watch(stream, cursor, Arc::new(watch))
    }

    /// A descriptor that is readable while there may be an event, for the host's own poll loop.
    ///
    /// It belongs to the subscription. Do not read from it: when it is readable, call
    /// [`next`](Events::next) with a timeout of zero until that returns `None`.
    pub fn descriptor(&self) -> Result<BorrowedFd<'_>, Error> {
        self.check_host()?;
        let failed = |error| Error::io("no descriptor for events", error);
        if self.queue.ready.get().is_none() {
            let ready = EventFd::new().map_err(failed)?;
            // If another thread was faster, its descriptor is used and this one is closed.
            let _ = self.queue.ready.set(ready);
            self.queue.set_ready();
        }
        match self.queue.ready.get() {
            Some(ready) => Ok(ready.as_fd()),
            None => Err(Error::Closed),
        }
    }

    /// Ends the subscription, and wakes the callers that wait for an event.
    pub fn close(&self) -> Result<(), Error> {
        self.check_host()?;
        self.broadcaster.remove(self.queue.number);
        self.queue.close();
        Ok(())
    }

    fn check_host(&self) -> Result<(), Error> {
        if self.host_pid == std::process::id() {
            Ok(())
        } else {
            Err(Error::Forked)
        }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        // In a forked copy this fails before it takes a lock; there is nothing to close there.
        let _ = self.close();
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

/// Sends [`Event::Readable`] to one subscription.
struct ReadableWatch {
    queue: Arc<SubscriberQueue>,
    event: Event,
}

impl Notify for ReadableWatch {
    fn subscriber(&self) -> u64 {
        // Unique: the watch keeps the queue alive, so no other queue has this address.
        Arc::as_ptr(&self.queue) as u64
    }

    fn notify(&self) {
        self.queue.push(self.event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_counts_further_events() {
        let broadcaster = Arc::new(Broadcaster::default());
        let events = broadcaster.subscribe(None).expect("it is open");
        let id = Id::random();
        for _ in 0..MAX_EVENTS + 3 {
            broadcaster.send(Event::Ended(id), None);
        }
        assert_eq!(events.next(None).ok(), Some(Some(Event::Missed(3))));
        for _ in 0..MAX_EVENTS {
            assert_eq!(events.next(None).ok(), Some(Some(Event::Ended(id))));
        }
        assert_eq!(events.next(Some(Duration::ZERO)).ok(), Some(None));
        broadcaster.close();
        assert!(matches!(events.next(None), Err(Error::Closed)));
        assert!(matches!(broadcaster.subscribe(None), Err(Error::Closed)));
    }

    #[test]
    fn a_subscriber_of_one_owner_receives_no_other_events() {
        let broadcaster = Arc::new(Broadcaster::default());
        let mine = broadcaster
            .subscribe(Some(OsStr::new("me").into()))
            .expect("it is open");
        let all = broadcaster.subscribe(None).expect("it is open");
        let (a, b) = (Id::random(), Id::random());
        broadcaster.send(Event::Started(a), Some("you".as_ref()));
        broadcaster.send(Event::Started(b), Some("me".as_ref()));
        assert_eq!(mine.next(None).ok(), Some(Some(Event::Started(b))));
        assert_eq!(all.next(None).ok(), Some(Some(Event::Started(a))));
        assert_eq!(all.next(None).ok(), Some(Some(Event::Started(b))));
    }
}
