//! The clock by which the kernel notes the start times of processes.

use std::time::Duration;

/// The time since the boot in clock ticks, as in the start time of `/proc/PID/stat`.
pub(crate) fn now_in_ticks() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the kernel writes one timespec. This clock exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    // SAFETY: sysconf takes a number.
    let ticks_per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    let ticks_per_second = u128::try_from(ticks_per_second).unwrap_or(100);
    let ticks = Duration::new(seconds, nanos).as_nanos() * ticks_per_second / 1_000_000_000;
    u64::try_from(ticks).unwrap_or(u64::MAX)
}
