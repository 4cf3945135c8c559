//! Descriptors: reading pipes without blocking, waiting for several at once, waking a thread that waits.

use std::fs::File;
use std::io::{self, IoSliceMut, Read, Write};
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use std::time::Duration;

use super::check;

/// Makes reads and writes on a descriptor fail with `WouldBlock` instead of waiting.
pub(crate) fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: FIONBIO reads one c_int through the pointer, which is valid for it; the descriptor is open.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::FIONBIO, &on) }).map(drop)
}

/// The same descriptor with a number above those of standard input, output and error.
pub(crate) fn above_standard(fd: OwnedFd) -> io::Result<OwnedFd> {
    if fd.as_raw_fd() > 2 {
        return Ok(fd);
    }
    // SAFETY: fcntl with F_DUPFD_CLOEXEC takes numbers and touches no memory of ours; the descriptor is
    // open.
    let copy = check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 3) })?;
    // SAFETY: the descriptor was made just now and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// The number of bytes that can be read now.
pub(crate) fn available(fd: BorrowedFd<'_>) -> io::Result<usize> {
    let mut count: libc::c_int = 0;
    // SAFETY: FIONREAD writes one c_int through the pointer, which is valid for it.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::FIONREAD, &mut count) })?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// Reads into several buffers, one after the other.
pub(crate) fn read_vectored(
    fd: BorrowedFd<'_>,
    pieces: &mut [IoSliceMut<'_>],
) -> io::Result<usize> {
    let count = libc::c_int::try_from(pieces.len()).unwrap_or(libc::c_int::MAX);
    // SAFETY: IoSliceMut is guaranteed to have the layout of iovec, each piece is writable for its
    // length, and the count is not above the number of pieces.
    let read = unsafe { libc::readv(fd.as_raw_fd(), pieces.as_ptr().cast(), count) };
    usize::try_from(read).map_err(|_| io::Error::last_os_error())
}

/// A descriptor and what to wait for on it, in the layout of `pollfd`.
#[repr(transparent)]
#[derive(Debug)]
pub(crate) struct PollFd<'fd>(libc::pollfd, PhantomData<BorrowedFd<'fd>>);

impl<'fd> PollFd<'fd> {
    /// Polls for input and for the hang-up.
    pub(crate) fn readable(fd: BorrowedFd<'fd>) -> Self {
        Self::new(fd.as_raw_fd(), libc::POLLIN)
    }

    /// Polls for the hang-up only.
    pub(crate) fn hangup(fd: BorrowedFd<'fd>) -> Self {
        Self::new(fd.as_raw_fd(), 0)
    }

    /// An entry that the kernel ignores.
    pub(crate) fn none() -> Self {
        Self::new(-1, 0)
    }

    fn new(fd: libc::c_int, events: libc::c_short) -> Self {
        let revents = 0;
        PollFd(
            libc::pollfd {
                fd,
                events,
                revents,
            },
            PhantomData,
        )
    }

    /// There is input.
    pub(crate) fn has_input(&self) -> bool {
        self.0.revents & libc::POLLIN != 0
    }

    /// Hang-up or error. POLLNVAL counts as an error: the host may have closed the descriptor.
    pub(crate) fn hung_up(&self) -> bool {
        self.0.revents & (libc::POLLHUP | libc::POLLERR | libc::POLLNVAL) != 0
    }
}

/// Waits for any of several descriptors; `None` is without a limit. Returns early, with no events, when
/// a signal handler runs.
pub(crate) fn poll(set: &mut [PollFd<'_>], timeout: Option<Duration>) -> io::Result<()> {
    let time = timeout.map(|left| libc::timespec {
        tv_sec: libc::time_t::try_from(left.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: left.subsec_nanos() as libc::c_long,
    });
    let time = time.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: PollFd is transparent over pollfd and the length is the slice's; `time` is null or points
    // to a timespec that lives to the end of this function; a null mask leaves the mask alone.
    let result = check(unsafe {
        libc::ppoll(
            set.as_mut_ptr().cast(),
            set.len() as libc::nfds_t,
            time,
            ptr::null(),
        )
    });
    match result {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {
            set.iter_mut().for_each(|entry| entry.0.revents = 0);
            Ok(())
        }
        other => other.map(drop),
    }
}

/// An eventfd: wakes a thread that waits for it.
///
/// A thread publishes a change before it calls [`set`](EventFd::set). The woken thread calls
/// [`clear`](EventFd::clear) before it checks for changes. A `set` in between is either seen by that
/// check or wakes the next poll.
#[derive(Debug)]
pub(crate) struct EventFd(File);

impl EventFd {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: eventfd takes two numbers and touches no memory of ours.
        let fd = check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
        // SAFETY: the descriptor was made just now and nothing else owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        // A host that opens its standard descriptors late would overwrite a descriptor below 3.
        Ok(EventFd(above_standard(fd)?.into()))
    }

    /// Makes the descriptor readable. Never blocks.
    pub(crate) fn set(&self) {
        // It fails only when the counter is at its maximum. Then the descriptor is readable already.
        let _ = (&self.0).write(&1u64.to_ne_bytes());
    }

    /// Makes the descriptor unreadable. The caller checks for changes after this call, not before.
    pub(crate) fn clear(&self) {
        let _ = (&self.0).read(&mut [0; 8]);
    }
}

impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
