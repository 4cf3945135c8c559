//! Waiting for descriptors that are registered in the kernel (an epoll instance).
//!
//! A descriptor can be registered, changed and removed while a thread waits, and that thread is not woken by it. A descriptor
//! must be removed before it is closed: in a forked copy of the host the copy would keep it registered. The copy must not touch
//! a poller, since it shares the epoll instance with its parent.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::Arc;

use super::check;
use super::descriptor::{Wake, above_standard};
use crate::time::Deadline;

/// What is waited for. Hang-up and errors are always reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interest {
    /// Bytes to read, for as long as there are any.
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

/// An eventfd that is always readable. One serves any number of pollers: each of them is woken by arming it there.
#[derive(Debug)]
pub(crate) struct Waker(Wake);

impl Waker {
    pub(crate) fn new() -> io::Result<Self> {
        let wake = Wake::new()?;
        wake.raise();
        Ok(Waker(wake))
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
        // Registered for nothing. An eventfd never hangs up.
        poller.control(libc::EPOLL_CTL_ADD, poller.waker.0.as_fd(), 0, WAKER_TOKEN)?;
        Ok(poller)
    }

    /// Ends the wait that is under way, or else the next one. Never blocks. What the woken thread is to see is published
    /// before.
    pub(crate) fn wake(&self) {
        let once = (libc::EPOLLIN | libc::EPOLLONESHOT) as u32;
        // To change what is registered takes no memory.
        let _ = self.control(libc::EPOLL_CTL_MOD, self.waker.0.as_fd(), once, WAKER_TOKEN);
    }

    /// Registers a descriptor. Fails for want of memory, and at the user's limit of registrations.
    pub(crate) fn add(&self, fd: BorrowedFd<'_>, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, interest.bits(), DESCRIPTOR_TOKEN)
    }

    /// Changes what is waited for of a registered descriptor.
    pub(crate) fn modify(&self, fd: BorrowedFd<'_>, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, interest.bits(), DESCRIPTOR_TOKEN)
    }

    /// Ends the registration of a descriptor, if there is one.
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

/// The time left, rounded up to the unit of the kernel.
fn milliseconds(deadline: Deadline) -> libc::c_int {
    deadline.left().map_or(-1, |left| {
        let whole = left.as_nanos().div_ceil(1_000_000);
        libc::c_int::try_from(whole).unwrap_or(libc::c_int::MAX)
    })
}
