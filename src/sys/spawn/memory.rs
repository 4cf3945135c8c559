//! The memory that a child runs on until its exec: a stack, with the [`Report`] at its lower end.
//!
//! It is shared memory, so the report also works under valgrind, which turns the clone into a fork.
//! To map and unmap it takes a fifth of the time of a start, so up to [`KEPT`] mappings are kept for
//! later starts.
//!
//! A forked copy of the host must not run a child on a mapping that the host uses too. So the list of
//! kept mappings is in a page that the kernel empties in a forked copy (MADV_WIPEONFORK).

use std::ffi::{c_int, c_void};
use std::io;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use super::Stage;
use crate::sys::check;

/// What the child and the kernel report to the caller.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Report {
    pub(super) stage: Stage,
    /// 0 while nothing has failed.
    pub(super) error: c_int,
    /// Written by the kernel before the child's first instruction. -1 on kernels without pidfds.
    pub(super) pidfd: c_int,
}

/// The most mappings that are kept. More are in use only while more threads start at once.
const KEPT: usize = 16;

type Kept = [AtomicPtr<c_void>; KEPT];

/// A mapping that no other child uses.
pub(super) struct Memory(*mut c_void);

impl Memory {
    const BYTES: usize = 32 << 10;

    /// Takes a kept mapping, or makes one.
    pub(super) fn new() -> io::Result<Self> {
        let mut slots = kept().iter();
        let start = slots.find_map(|slot| {
            let start = slot.swap(ptr::null_mut(), Ordering::Acquire);
            (!start.is_null()).then_some(start)
        });
        let start = start.map_or_else(|| map(Self::BYTES, libc::MAP_SHARED), Ok)?;
        let memory = Memory(start);
        let report = Report {
            stage: Stage::Process,
            error: 0,
            pidfd: -1,
        };
        // SAFETY: the mapping is writable, aligned to a page and larger than a report.
        unsafe { memory.report().write(report) };
        Ok(memory)
    }

    pub(super) fn report(&self) -> *mut Report {
        self.0.cast()
    }

    pub(super) fn stack_top(&self) -> *mut c_void {
        self.0.wrapping_byte_add(Self::BYTES)
    }
}

impl Drop for Memory {
    /// Keeps the mapping if there is room. No child runs on it: the clone has returned.
    fn drop(&mut self) {
        let is_kept = kept().iter().any(|slot| {
            let (free, own) = (ptr::null_mut(), self.0);
            let order = (Ordering::Release, Ordering::Relaxed);
            slot.compare_exchange(free, own, order.0, order.1).is_ok()
        });
        if !is_kept {
            unmap(self.0, Self::BYTES);
        }
    }
}

/// The list of kept mappings. Empty where the kernel cannot wipe it in a forked copy: before Linux 4.14.
fn kept() -> &'static [AtomicPtr<c_void>] {
    /// Made once, without a lock: a forked copy would wait for ever for one that another thread has held.
    static PAGE: AtomicPtr<Kept> = AtomicPtr::new(ptr::null_mut());
    let mut page = PAGE.load(Ordering::Acquire);
    if page.is_null() {
        let Ok(made) = map_wiped(size_of::<Kept>()) else {
            return &[];
        };
        let order = (Ordering::AcqRel, Ordering::Acquire);
        page = made.cast();
        if let Err(first) = PAGE.compare_exchange(ptr::null_mut(), page, order.0, order.1) {
            unmap(made, size_of::<Kept>());
            page = first;
        }
    }
    // SAFETY: the mapping is never unmapped, is aligned to a page, is as large as the list, and was zero,
    // which is a list of null pointers.
    unsafe { &*page }
}

/// A new private mapping of zeros, which is zero again in a forked copy of the host.
fn map_wiped(bytes: usize) -> io::Result<*mut c_void> {
    let page = map(bytes, libc::MAP_PRIVATE)?;
    // SAFETY: the range is a mapping of ours.
    check(unsafe { libc::madvise(page, bytes, libc::MADV_WIPEONFORK) })
        .inspect_err(|_| unmap(page, bytes))?;
    Ok(page)
}

/// A new mapping of zeros.
fn map(bytes: usize, sharing: c_int) -> io::Result<*mut c_void> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = sharing | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping at an address that the kernel chooses.
    let start = unsafe { libc::mmap(ptr::null_mut(), bytes, protection, flags, -1, 0) };
    match start == libc::MAP_FAILED {
        true => Err(io::Error::last_os_error()),
        false => Ok(start),
    }
}

/// Removes a mapping to which nothing refers any more.
fn unmap(start: *mut c_void, bytes: usize) {
    // SAFETY: the range is a mapping of ours that nothing refers to.
    unsafe { libc::munmap(start, bytes) };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_kept(memory: *mut c_void) -> bool {
        kept()
            .iter()
            .any(|slot| slot.load(Ordering::Relaxed) == memory)
    }

    /// Both would run children on it at the same time.
    #[test]
    fn kernel_a_forked_copy_does_not_get_the_memory_of_its_host() {
        // Tests that run at the same time may take the one that was given back.
        let given_back: Vec<_> = {
            let taken: Vec<_> = (0..KEPT).map(|_| Memory::new().expect("memory")).collect();
            taken.iter().map(|memory| memory.0).collect()
        };
        assert!(given_back.iter().any(|memory| is_kept(*memory)));
        // SAFETY: the child of the fork reads an array and exits.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            let has_one = kept()
                .iter()
                .any(|slot| !slot.load(Ordering::Relaxed).is_null());
            // SAFETY: it takes a number and ends the child.
            unsafe { libc::_exit(has_one.into()) };
        }
        let mut status = 0;
        // SAFETY: the status is valid for a write.
        assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
        assert!(libc::WIFEXITED(status));
        assert_eq!(libc::WEXITSTATUS(status), 0);
    }
}
