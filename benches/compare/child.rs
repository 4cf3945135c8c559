//! What some rows start: this program again, as a child that reports when it did something.

#![allow(unsafe_code)]

use std::fs::File;
use std::os::fd::AsRawFd;
use std::ptr;
use std::thread;
use std::time::Duration;

use crate::clock::{self, Nanos};

/// How long a child waits before it does what is measured. The caller that waits for it is asleep by then.
const PACE: Duration = Duration::from_millis(2);

/// Writes the time to standard output, again and again, each time in one write.
pub(crate) fn write_stamps(count: usize) {
    for _ in 0..count {
        thread::sleep(PACE);
        let stamp = clock::now().to_ne_bytes();
        // SAFETY: the bytes are readable for their length.
        let written = unsafe { libc::write(1, stamp.as_ptr().cast(), stamp.len()) };
        assert_eq!(written, stamp.len() as isize);
    }
}

/// What `yes` does, up to a number of bytes: writes without pause, 8 KiB at a time.
pub(crate) fn write_yes(mut bytes: usize) {
    let chunk = b"y\n".repeat(4 << 10);
    while bytes > 0 {
        let length = chunk.len().min(bytes);
        // SAFETY: the bytes are readable for the length.
        let written = unsafe { libc::write(1, chunk.as_ptr().cast(), length) };
        bytes -= usize::try_from(written).expect("the output is read");
    }
}

/// Writes the time to a file and exits right after it.
pub(crate) fn exit_with_stamp(path: &str) -> ! {
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .expect("a file for the stamp");
    file.set_len(size_of::<Nanos>() as u64).expect("room");
    // SAFETY: a new mapping of a file that is long enough for one number, which is then written, in a page that begins
    // where every type may. _exit runs nothing.
    unsafe {
        let place = libc::mmap(
            ptr::null_mut(),
            size_of::<Nanos>(),
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED,
            file.as_raw_fd(),
            0,
        );
        assert_ne!(place, libc::MAP_FAILED);
        let place = place.cast::<Nanos>();
        // The page is there before the time is taken.
        place.write_volatile(0);
        thread::sleep(PACE);
        place.write_volatile(clock::now());
        libc::_exit(0)
    }
}
