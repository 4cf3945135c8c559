//! Waiting for descriptors that are kept in the kernel (an epoll): others may change what a sleeping thread waits for
//! without waking it.
//!
//! A descriptor must be taken out before it is closed: in a host that has forked, the copy keeps it in. The copy must not touch
//! a poller, since it is the same one.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::Arc;

use super::check;
use super::descriptor::{Wake, above_standard};
use crate::time::Deadline;

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interest {
    /// Something to read, or that the other side is gone: once, and then no more until it is said again.
    Readable,
    /// Only that the other side is gone: once.
    Hangup,
    /// Something to read, or that the other side is gone: as long as it is so. What comes while somebody waits for it is
    /// told to nobody whose interest is the next one, if theirs was added later. That the other side is gone is told to all.
    Foremost,
    /// Something that comes while nobody waits whose interest is the foremost, or that is there when this is added; or that the
    /// other side is gone: each time anew. Like the foremost it cannot be changed: it is taken out, and added again.
    Behind,
}

impl Interest {
    fn bits(self) -> u32 {
        let bits = match self {
            Interest::Readable => libc::EPOLLIN | libc::EPOLLONESHOT,
            // The kernel always tells of it.
            Interest::Hangup => libc::EPOLLONESHOT,
            // The kernel goes through those that are exclusive in the order in which they were added, up to the first that wakes
            // a thread.
            Interest::Foremost => libc::EPOLLIN | libc::EPOLLEXCLUSIVE,
            Interest::Behind => libc::EPOLLIN | libc::EPOLLEXCLUSIVE | libc::EPOLLET,
        };
        bits as u32
    }
}

/// The number under which the bell stands.
const BELL: u64 = u64::MAX;

/// Descriptors that threads wait for.
#[derive(Debug)]
pub(crate) struct Poller {
    epoll: OwnedFd,
    /// What it is rung with: a descriptor that is always readable, and that is listened to only when somebody is to wake.
    bell: Arc<Wake>,
}

impl Poller {
    pub(crate) fn new() -> io::Result<Self> {
        let bell = Wake::new()?;
        bell.raise();
        Poller::with_bell(Arc::new(bell))
    }

    /// Another one, which is rung on its own: it only costs one descriptor less.
    pub(crate) fn another(&self) -> io::Result<Self> {
        Poller::with_bell(Arc::clone(&self.bell))
    }

    fn with_bell(bell: Arc<Wake>) -> io::Result<Self> {
        // SAFETY: epoll_create1 takes a number and touches no memory of ours.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the descriptor was made just now and nothing else owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let epoll = above_standard(fd)?;
        let poller = Poller { epoll, bell };
        // Nothing is ever gone on the other side of it.
        poller.control(libc::EPOLL_CTL_ADD, poller.bell.as_fd(), 0, BELL)?;
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

    /// Waits for something to happen, and gives the number of the descriptor that it happened to; nothing when it was rung, once
    /// or more often, and when a signal arrives.
    pub(crate) fn wait(&self) -> io::Result<Option<u64>> {
        let mut event = [NOTHING];
        let count = self.wait_for(&mut event, -1)?;
        let [libc::epoll_event { u64: number, .. }] = event;
        Ok(Some(number).filter(|number| count > 0 && *number != BELL))
    }

    /// Waits for something to happen to the only descriptor that is in there, and says what that is: whether there is something
    /// to read, and whether the other side is gone. Neither at the deadline, when it was rung, and when a signal arrives.
    pub(crate) fn wait_for_one(&self, deadline: Deadline) -> io::Result<(bool, bool)> {
        // The bell may be there too.
        let mut events = [NOTHING; 2];
        let count = self.wait_for(&mut events, milliseconds(deadline))?;
        let found = events[..count]
            .iter()
            .find(|event| { event.u64 } != BELL)
            .map_or(0, |event| event.events);
        let has = |bits: libc::c_int| found & bits as u32 != 0;
        Ok((has(libc::EPOLLIN), has(libc::EPOLLHUP | libc::EPOLLERR)))
    }

    fn wait_for(
        &self,
        events: &mut [libc::epoll_event],
        milliseconds: libc::c_int,
    ) -> io::Result<usize> {
        let (epoll, room) = (self.epoll.as_raw_fd(), events.len() as libc::c_int);
        // SAFETY: there is room for as many events.
        let count =
            check(unsafe { libc::epoll_wait(epoll, events.as_mut_ptr(), room, milliseconds) });
        match count {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            // The number of events is never negative, and not above what there was room for.
            other => other.map(|count| count as usize),
        }
    }
}

const NOTHING: libc::epoll_event = libc::epoll_event { events: 0, u64: 0 };

/// What is left, not less, in the unit of the kernel; as much as it can take, if that is not enough.
fn milliseconds(deadline: Deadline) -> libc::c_int {
    deadline.left().map_or(-1, |left| {
        let whole = left.as_nanos().div_ceil(1_000_000);
        libc::c_int::try_from(whole).unwrap_or(libc::c_int::MAX)
    })
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

    /// Lets it wait, from now on, for something of a descriptor that is in there; of another it does nothing but fail.
    pub(crate) fn change(&self, fd: BorrowedFd<'_>, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, interest.bits())
    }

    /// Lets it wait for the descriptor no more, if it did.
    pub(crate) fn remove(&self, fd: BorrowedFd<'_>) {
        let _ = self.control(libc::EPOLL_CTL_DEL, fd, 0);
    }

    fn control(&self, operation: libc::c_int, fd: BorrowedFd<'_>, events: u32) -> io::Result<()> {
        self.poller.control(operation, fd, events, self.number)
    }
}
