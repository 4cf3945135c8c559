//! Waiting for descriptors that are kept in the kernel (an epoll): others may change what a sleeping thread waits for
//! without waking it.
//!
//! A descriptor must be taken out before it is closed: in a host that has forked, the copy keeps it in. The copy must not touch
//! a poller, since it is the same one.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use super::check;
use super::descriptor::{Wake, above_standard};

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interest {
    /// Something to read, or that the other side is gone.
    Readable,
    /// The same, and nothing any more after the first time.
    ReadableOnce,
    /// Only that the other side is gone.
    Hangup,
    /// The same, once.
    HangupOnce,
}

impl Interest {
    fn bits(self) -> u32 {
        let bits = match self {
            Interest::Readable => libc::EPOLLIN,
            Interest::ReadableOnce => libc::EPOLLIN | libc::EPOLLONESHOT,
            // The kernel always tells of it.
            Interest::Hangup => 0,
            Interest::HangupOnce => libc::EPOLLONESHOT,
        };
        bits as u32
    }
}

/// The number under which the bell stands.
const BELL: u64 = u64::MAX;

/// How many events are taken at once: no thread of ours waits for more than two pipes and the bell.
pub(crate) const MOST_EVENTS: usize = 3;

/// Descriptors that threads wait for.
#[derive(Debug)]
pub(crate) struct Poller {
    epoll: OwnedFd,
    /// What it is rung with: a descriptor that is always readable, and that is listened to only when somebody is to wake. One
    /// serves any number of pollers.
    bell: Arc<Wake>,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// It was rung, once or more often.
    Rung,
    /// To the descriptor with this number.
    Ready {
        number: u64,
        has_input: bool,
        hung_up: bool,
    },
}

impl Poller {
    pub(crate) fn new() -> io::Result<Self> {
        let bell = Wake::new()?;
        bell.raise();
        Self::with_bell(&Arc::new(bell))
    }

    /// Another one, for one descriptor fewer.
    pub(crate) fn another(&self) -> io::Result<Self> {
        Self::with_bell(&self.bell)
    }

    fn with_bell(bell: &Arc<Wake>) -> io::Result<Self> {
        // SAFETY: epoll_create1 takes a number and touches no memory of ours.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the descriptor was made just now and nothing else owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let poller = Poller {
            epoll: above_standard(fd)?,
            bell: Arc::clone(bell),
        };
        // Nothing is ever gone on the other side of it.
        poller.control(libc::EPOLL_CTL_ADD, bell.as_fd(), 0, BELL)?;
        Ok(poller)
    }

    /// Wakes one thread that waits, or the next that does. Never blocks. Who rings first publishes what is to be seen; who
    /// is woken looks after that.
    pub(crate) fn ring(&self) {
        let once = (libc::EPOLLIN | libc::EPOLLONESHOT) as u32;
        // It is in there, so it can be changed.
        let _ = self.control(libc::EPOLL_CTL_MOD, self.bell.as_fd(), once, BELL);
    }

    fn control(
        &self,
        operation: libc::c_int,
        fd: BorrowedFd<'_>,
        events: u32,
        number: u64,
    ) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events,
            u64: number,
        };
        let (epoll, fd) = (self.epoll.as_raw_fd(), fd.as_raw_fd());
        // SAFETY: the event is valid and only read; both descriptors are open.
        check(unsafe { libc::epoll_ctl(epoll, operation, fd, &mut event) }).map(drop)
    }

    /// Waits for something to happen, and gives at most `most` of it; `None` waits for ever. Returns early, with nothing, when
    /// a signal arrives. Time is counted in whole milliseconds, of which the last is waited out.
    pub(crate) fn wait(
        &self,
        most: usize,
        timeout: Option<Duration>,
    ) -> io::Result<impl Iterator<Item = Event>> {
        let milliseconds = timeout.map_or(-1, |left| {
            libc::c_int::try_from(left.as_nanos().div_ceil(1_000_000)).unwrap_or(libc::c_int::MAX)
        });
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; MOST_EVENTS];
        let most = most.clamp(1, MOST_EVENTS) as libc::c_int;
        let epoll = self.epoll.as_raw_fd();
        // SAFETY: the events are writable, and not fewer than `most`.
        let count =
            check(unsafe { libc::epoll_wait(epoll, events.as_mut_ptr(), most, milliseconds) });
        let count = match count {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            count => usize::try_from(count?).unwrap_or(0),
        };
        Ok(events.into_iter().take(count).map(|event| {
            let (number, events) = (event.u64, event.events as libc::c_int);
            match number {
                BELL => Event::Rung,
                number => Event::Ready {
                    number,
                    has_input: events & libc::EPOLLIN != 0,
                    hung_up: events & (libc::EPOLLHUP | libc::EPOLLERR) != 0,
                },
            }
        }))
    }
}

/// A poller, and the number, below the highest, under which somebody's descriptors are in it.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    poller: Arc<Poller>,
    number: u64,
}

impl Entry {
    pub(crate) fn new(poller: &Arc<Poller>, number: u64) -> Self {
        Entry {
            poller: Arc::clone(poller),
            number,
        }
    }

    pub(crate) fn poller(&self) -> &Poller {
        &self.poller
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Lets the poller wait for one more descriptor.
    pub(crate) fn add(&self, fd: BorrowedFd<'_>, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, interest.bits())
    }

    /// Lets it wait for something else of a descriptor that is in there; of another it does nothing.
    pub(crate) fn change(&self, fd: BorrowedFd<'_>, interest: Interest) {
        let _ = self.control(libc::EPOLL_CTL_MOD, fd, interest.bits());
    }

    /// Lets it wait for the descriptor no more, if it did.
    pub(crate) fn remove(&self, fd: BorrowedFd<'_>) {
        let _ = self.control(libc::EPOLL_CTL_DEL, fd, 0);
    }

    fn control(&self, operation: libc::c_int, fd: BorrowedFd<'_>, events: u32) -> io::Result<()> {
        self.poller.control(operation, fd, events, self.number)
    }
}

/// The reading end of a pipe, in a poller. It is taken out of that before it is closed.
#[derive(Debug)]
pub(crate) struct Tap {
    end: OwnedFd,
    entry: Entry,
}

impl Tap {
    /// Lets the poller wait for input, under this number.
    pub(crate) fn new(end: OwnedFd, poller: &Arc<Poller>, number: u64) -> io::Result<Self> {
        let entry = Entry::new(poller, number);
        entry.add(end.as_fd(), Interest::Readable)?;
        Ok(Tap { end, entry })
    }

    /// Lets the poller wait for something else, unless [`leave`](Tap::leave) was called.
    pub(crate) fn listen(&self, interest: Interest) {
        self.entry.change(self.end.as_fd(), interest);
    }

    /// Takes it out of the poller, whoever still has it.
    pub(crate) fn leave(&self) {
        self.entry.remove(self.end.as_fd());
    }
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.end.as_fd()
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.leave();
    }
}
