//! What happens to processes, told to subscribers one event after another.
//!
//! Owns the queues. Promises: nobody who reports an event ever waits for a subscriber; a queue is bounded, and events
//! that found it full are counted and reported; a subscriber that waits is woken when its manager is closed or it is
//! closed itself; its descriptor is readable while there may be an event. One lock, a leaf: it protects the list of
//! subscribers.

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
use crate::sys::descriptor::Wake;
use crate::time::Deadline;

/// How many events wait for a subscriber before further ones are only counted.
pub const MAX_EVENTS: usize = 16_384;

/// Something that happened to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// It was started.
    Started(Id),
    /// Its leader has ended, and all that it wrote can be read.
    Ended(Id),
    /// Nobody will write to any of its streams any more.
    OutputClosed(Id),
    /// There is something to read past the cursor that was [watched](Events::watch), or nothing more will come for now:
    /// the process has ended or the stream has.
    Readable(Id, Stream),
    /// A [background stop](Process::stop_in_background) is over.
    Stopped(Id),
    /// So many events found the queue full and were dropped. Look at everything once.
    Missed(u64),
}

/// A subscription to the events of a manager or scope, made by [`Manager::events`](crate::Manager::events).
///
/// It is told what happens from its making on. Each event goes to each subscription once; several threads may share one
/// and divide the events among them.
pub struct Events {
    queue: Receiver<Event>,
    seat: Arc<Seat>,
    hub: Arc<Hub>,
    host: u32,
}

/// The subscribers of one manager.
#[derive(Default)]
pub(crate) struct Hub {
    /// Spares those who report the lock when nobody listens.
    listened: AtomicBool,
    /// Protects the subscribers. A leaf.
    inner: Mutex<Subscribers>,
}

#[derive(Default)]
struct Subscribers {
    by_number: HashMap<u64, Arc<Seat>>,
    next: u64,
    closed: bool,
}

/// The sending side of one subscription.
struct Seat {
    number: u64,
    owner: Option<Arc<OsStr>>,
    /// Taken away to tell the receiving side that nothing will come any more.
    queue: Mutex<Option<Sender<Event>>>,
    missed: AtomicU64,
    /// Made when somebody asks for it.
    wake: OnceLock<Wake>,
}

impl Seat {
    fn tell(&self, event: Event) {
        let sent = match &*self.queue.lock() {
            Some(queue) => queue.try_send(event).is_ok(),
            None => return,
        };
        if !sent {
            self.missed.fetch_add(1, Ordering::AcqRel);
        }
        self.raise();
    }

    fn raise(&self) {
        if let Some(wake) = self.wake.get() {
            wake.raise();
        }
    }

    fn close(&self) {
        self.queue.lock().take();
        self.raise();
    }
}

impl Subscribers {
    /// Those who see the events of a process with this owner.
    fn of(&self, owner: Option<&OsStr>) -> impl Iterator<Item = &Arc<Seat>> {
        let seats = self.by_number.values();
        seats.filter(move |seat| seat.owner.is_none() || seat.owner.as_deref() == owner)
    }
}

impl Hub {
    /// Adds a subscriber to the events of one owner, or of everybody.
    pub(crate) fn subscribe(self: &Arc<Self>, owner: Option<Arc<OsStr>>) -> Result<Events, Error> {
        let (sender, queue) = bounded(MAX_EVENTS);
        let mut inner = self.inner.lock();
        if inner.closed {
            return Err(Error::Closed);
        }
        inner.next += 1;
        let seat = Arc::new(Seat {
            number: inner.next,
            owner,
            queue: Mutex::new(Some(sender)),
            missed: AtomicU64::new(0),
            wake: OnceLock::new(),
        });
        inner.by_number.insert(seat.number, Arc::clone(&seat));
        self.listened.store(true, Ordering::Release);
        drop(inner);
        Ok(Events {
            queue,
            seat,
            hub: Arc::clone(self),
            host: std::process::id(),
        })
    }

    /// Tells an event of a process with this owner to those who see it. Does not block.
    pub(crate) fn tell(&self, event: Event, owner: Option<&OsStr>) {
        if !self.listened.load(Ordering::Acquire) {
            return;
        }
        let told: Vec<_> = self.inner.lock().of(owner).cloned().collect();
        told.iter().for_each(|seat| seat.tell(event));
    }

    /// Whether there is somebody who sees the events of a process with this owner.
    pub(crate) fn has_subscriber(&self, owner: Option<&OsStr>) -> bool {
        self.listened.load(Ordering::Acquire) && self.inner.lock().of(owner).next().is_some()
    }

    /// Nothing will be told any more: whoever waits is woken when it has taken what is in its queue.
    pub(crate) fn close(&self) {
        let seats = {
            let mut inner = self.inner.lock();
            inner.closed = true;
            std::mem::take(&mut inner.by_number)
        };
        seats.values().for_each(|seat| seat.close());
    }

    fn remove(&self, number: u64) {
        let mut inner = self.inner.lock();
        let removed = inner.by_number.remove(&number);
        self.listened
            .store(!inner.by_number.is_empty(), Ordering::Release);
        drop(inner);
        drop(removed);
    }
}

impl Events {
    /// Takes the next event, waiting up to `timeout` (`None`: for ever); `Ok(None)` when the time is up first.
    ///
    /// Fails with [`Error::Closed`] when there is none left and none will come, because the manager or this subscription
    /// was closed.
    pub fn next(&self, timeout: Option<Duration>) -> Result<Option<Event>, Error> {
        self.check_host()?;
        let deadline = Deadline::from(timeout);
        let missed = self.seat.missed.swap(0, Ordering::AcqRel);
        if missed > 0 {
            return Ok(Some(Event::Missed(missed)));
        }
        let next = match deadline.instant() {
            Some(at) => self.queue.recv_deadline(at),
            None => self
                .queue
                .recv()
                .map_err(|_| RecvTimeoutError::Disconnected),
        };
        self.settle();
        match next {
            Ok(event) => Ok(Some(event)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(Error::Closed),
        }
    }

    /// Makes the descriptor unreadable when the queue is empty. What comes after that look raises it again, and what
    /// came before it is seen by the look.
    fn settle(&self) {
        if let Some(wake) = self.seat.wake.get() {
            if self.queue.is_empty() {
                wake.take();
                let closed = self.seat.queue.lock().is_none();
                if closed || !self.queue.is_empty() || self.seat.missed.load(Ordering::Acquire) > 0
                {
                    wake.raise();
                }
            }
        }
    }

    /// Asks for one [`Event::Readable`], as soon as there is a byte of the stream past `cursor`, or the process or the
    /// stream has ended; at once if that is so already. The end of the process is told once: after that only bytes and the
    /// end of the stream are. Asking again before it came moves the cursor.
    ///
    /// This is how one thread follows any number of processes: it reads without waiting, watches, and waits here.
    pub fn watch(&self, process: &Process, stream: Stream, cursor: u64) -> Result<(), Error> {
        self.check_host()?;
        let tell = Readable {
            seat: Arc::clone(&self.seat),
            event: Event::Readable(process.id(), stream),
        };
        process.watch(stream, cursor, Arc::new(tell))
    }

    /// A descriptor that is readable while there may be an event, for the host's own loop. It belongs to the
    /// subscription and is not to be read from: take events with [`next`](Events::next), with a timeout of zero, until
    /// there is none.
    pub fn descriptor(&self) -> Result<BorrowedFd<'_>, Error> {
        self.check_host()?;
        let failed = |error| Error::io("no descriptor for events", error);
        if self.seat.wake.get().is_none() {
            let wake = Wake::new().map_err(failed)?;
            // If another thread was faster, its descriptor is the one.
            let _ = self.seat.wake.set(wake);
            self.seat.raise();
        }
        match self.seat.wake.get() {
            Some(wake) => Ok(wake.as_fd()),
            None => Err(Error::Closed),
        }
    }

    /// Ends the subscription: who waits for an event is woken.
    pub fn close(&self) -> Result<(), Error> {
        self.check_host()?;
        self.hub.remove(self.seat.number);
        self.seat.close();
        Ok(())
    }

    fn check_host(&self) -> Result<(), Error> {
        if self.host == std::process::id() {
            Ok(())
        } else {
            Err(Error::Forked)
        }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        // In a forked copy nothing may be locked, and nothing needs to be.
        let _ = self.close();
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

/// Tells one subscription that a stream is readable.
struct Readable {
    seat: Arc<Seat>,
    event: Event,
}

impl Notify for Readable {
    fn who(&self) -> u64 {
        // Numbers are unique in a manager, and so are addresses while the seat lives, which the watch makes sure of.
        Arc::as_ptr(&self.seat) as u64
    }

    fn notify(&self) {
        self.seat.tell(self.event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_counts_what_it_cannot_take() {
        let hub = Arc::new(Hub::default());
        let events = hub.subscribe(None).expect("the hub is open");
        let id = Id::random();
        for _ in 0..MAX_EVENTS + 3 {
            hub.tell(Event::Ended(id), None);
        }
        assert_eq!(events.next(None).ok(), Some(Some(Event::Missed(3))));
        for _ in 0..MAX_EVENTS {
            assert_eq!(events.next(None).ok(), Some(Some(Event::Ended(id))));
        }
        assert_eq!(events.next(Some(Duration::ZERO)).ok(), Some(None));
        hub.close();
        assert!(matches!(events.next(None), Err(Error::Closed)));
        assert!(matches!(hub.subscribe(None), Err(Error::Closed)));
    }

    #[test]
    fn each_owner_sees_its_own() {
        let hub = Arc::new(Hub::default());
        let mine = hub
            .subscribe(Some(OsStr::new("me").into()))
            .expect("the hub is open");
        let all = hub.subscribe(None).expect("the hub is open");
        let (a, b) = (Id::random(), Id::random());
        hub.tell(Event::Started(a), Some("you".as_ref()));
        hub.tell(Event::Started(b), Some("me".as_ref()));
        assert_eq!(mine.next(None).ok(), Some(Some(Event::Started(b))));
        assert_eq!(all.next(None).ok(), Some(Some(Event::Started(a))));
        assert_eq!(all.next(None).ok(), Some(Some(Event::Started(b))));
    }
}
