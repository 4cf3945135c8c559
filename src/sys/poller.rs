//! An epoll instance in which one thread waits for registered descriptors.
//!
//! A descriptor can be registered, modified and removed while the thread waits; that does not wake it.
//! A descriptor must be removed before it is closed: if the host has forked, the copy of the descriptor
//! keeps the registration alive. A forked copy of the host must not use a poller, because it shares the
//! epoll instance with its parent.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::Arc;

use super::check;
use super::descriptor::{EventFd, above_standard};
use crate::time::Deadline;

/// The events of a registration. Hang-up and errors are always reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interest {
    /// EPOLLIN, level-triggered.
    Readable,
    /// Hang-up and errors only.
    Hangup,
}

impl Interest {
    fn bits(self) -> u32 {
        match self {
            Interest::Readable => libc::EPOLLIN as u32,
            Interest::Hangup => 0,
        }
    }
}

/// What ended a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wakeup {
    /// A registered descriptor is ready.
    Ready,
    /// [`Poller::wake`] was called.
    Woken,
    /// The deadline has passed.
    TimedOut,
}

/// An eventfd that is always readable, registered in every poller of a manager. A poller is woken by
/// arming this registration.
#[derive(Debug)]
pub(crate) struct Waker(EventFd);

impl Waker {
    pub(crate) fn new() -> io::Result<Self> {
        let eventfd = EventFd::new()?;
        eventfd.set();
        Ok(Waker(eventfd))
    }
}

const WAKER_TOKEN: u64 = 1;
const DESCRIPTOR_TOKEN: u64 = 0;

/// An epoll instance in which one thread waits.
#[derive(Debug)]
pub(crate) struct Poller {
    epoll: OwnedFd,
    waker: Arc<Waker>,
}

impl Poller {
    pub(crate) fn new(waker: &Arc<Waker>) -> io::Result<Self> {
        // SAFETY: epoll_create1 takes a number and touches no memory of ours.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the descriptor was made just now and nothing else owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let poller = Poller {
            epoll: above_standard(fd)?,
            waker: Arc::clone(waker),
        };
        // Registered without events. An eventfd never hangs up.
        poller.control(libc::EPOLL_CTL_ADD, poller.waker.0.as_fd(), 0, WAKER_TOKEN)?;
        Ok(poller)
    }

    /// Ends the current wait, or the next one if no thread waits. Never blocks. The caller publishes a
    /// change before this call.
    pub(crate) fn wake(&self) {
        let once = (libc::EPOLLIN | libc::EPOLLONESHOT) as u32;
        // EPOLL_CTL_MOD allocates no memory, so it does not fail.
        let _ = self.control(libc::EPOLL_CTL_MOD, self.waker.0.as_fd(), once, WAKER_TOKEN);
    }

    /// Registers a descriptor. Fails if the system is out of memory or the user has reached the limit
    /// of registrations.
    pub(crate) fn add(&self, fd: BorrowedFd<'_>, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, interest.bits(), DESCRIPTOR_TOKEN)
    }

    /// Changes the events of a registered descriptor.
    pub(crate) fn modify(&self, fd: BorrowedFd<'_>, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, interest.bits(), DESCRIPTOR_TOKEN)
    }

    /// Removes the registration of a descriptor, if there is one.
    pub(crate) fn remove(&self, fd: BorrowedFd<'_>) {
        let _ = self.control(libc::EPOLL_CTL_DEL, fd, 0, DESCRIPTOR_TOKEN);
    }

    fn control(
        &self,
        operation: libc::c_int,
        fd: BorrowedFd<'_>,
        events: u32,
        token: u64,
    ) -> io::Result<()> {
        let mut event = libc::epoll_event { events, u64: token };
        let (epoll, fd) = (self.epoll.as_raw_fd(), fd.as_raw_fd());
        // SAFETY: the event is valid and only read; both descriptors are open.
        check(unsafe { libc::epoll_ctl(epoll, operation, fd, &mut event) }).map(drop)
    }

    /// Blocks until a descriptor is ready, [`wake`](Poller::wake) is called, or the deadline.
    pub(crate) fn wait(&self, deadline: Deadline) -> io::Result<Wakeup> {
        let mut event = libc::epoll_event { events: 0, u64: 0 };
        loop {
            let timeout = milliseconds(deadline);
            // SAFETY: there is room for one event.
            let count = unsafe { libc::epoll_wait(self.epoll.as_raw_fd(), &mut event, 1, timeout) };
            match check(count) {
                Ok(0) if deadline.passed() => return Ok(Wakeup::TimedOut),
                Ok(0) => {}
                Ok(_) if event.u64 == WAKER_TOKEN => return Ok(Wakeup::Woken),
                Ok(_) => return Ok(Wakeup::Ready),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// The time left in milliseconds, rounded up.
fn milliseconds(deadline: Deadline) -> libc::c_int {
    deadline.left().map_or(-1, |left| {
        let whole = left.as_nanos().div_ceil(1_000_000);
        libc::c_int::try_from(whole).unwrap_or(libc::c_int::MAX)
    })
}
