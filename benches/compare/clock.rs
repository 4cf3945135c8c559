//! What the bench and its contenders need of the system: the monotonic clock, limits, memory.

#![allow(unsafe_code)]

use std::fs;
use std::ptr;

/// A time, or a point in time of the monotonic clock, in nanoseconds.
pub(crate) type Nanos = u64;

/// The monotonic clock. All processes share it.
pub(crate) fn now() -> Nanos {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a timespec, which the call fills.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    assert_eq!(result, 0);
    time.tv_sec as Nanos * 1_000_000_000 + time.tv_nsec as Nanos
}

/// The point in time that a child wrote to a file.
pub(crate) fn read_stamp(path: &str) -> Nanos {
    let bytes = fs::read(path).expect("the child made it");
    Nanos::from_ne_bytes(bytes[..8].try_into().expect("8 bytes"))
}

/// Raises the limit of open files as far as this user may.
pub(crate) fn raise_descriptor_limit() {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the pointer is to an rlimit, which the first call fills and the second one reads.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit), 0);
        limit.rlim_cur = limit.rlim_max;
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &limit), 0);
    }
}

/// Makes this a big process: memory in small pages, all of it touched, never freed.
pub(crate) fn hold_memory(bytes: usize) {
    const PAGE: usize = 4096;
    // SAFETY: a new mapping, of which each byte that is written lies inside; it is never unmapped.
    unsafe {
        let memory = libc::mmap(
            ptr::null_mut(),
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        assert_ne!(memory, libc::MAP_FAILED);
        libc::madvise(memory, bytes, libc::MADV_NOHUGEPAGE);
        for offset in (0..bytes).step_by(PAGE) {
            memory.cast::<u8>().add(offset).write(1);
        }
    }
}
