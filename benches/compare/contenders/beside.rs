//! The floor of whoever is not alone: the pipe is emptied even when nobody reads, for which two threads wait too, and who reads or
//! waits for the exit can be woken by other things. What that costs cannot be saved.

#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};

use super::Contender;
use super::floor::{drain, read, spawn, thread, wait, wait_for_any};

/// Two threads sleep in an epoll that has all pipes.
pub(crate) struct Beside {
    threads: c_int,
}

pub(crate) struct WatchedChild {
    pid: libc::pid_t,
    pipe: c_int,
    /// Where the caller sleeps, before the threads: a write wakes him alone.
    own: c_int,
    pidfd: c_int,
    reaped: bool,
}

impl Beside {
    pub(crate) fn new() -> Self {
        let threads = epoll();
        for _ in 0..2 {
            thread(sleep_in, threads as usize);
        }
        Beside { threads }
    }
}

impl Contender for Beside {
    type Child = WatchedChild;

    fn start(&self, command: &str) -> WatchedChild {
        let (pid, pipe) = spawn(command);
        let own = epoll();
        let foremost = libc::EPOLLIN | libc::EPOLLEXCLUSIVE;
        control(own, libc::EPOLL_CTL_ADD, pipe, foremost);
        let behind = foremost | libc::EPOLLET;
        control(self.threads, libc::EPOLL_CTL_ADD, pipe, behind);
        // SAFETY: these take numbers and touch no memory.
        let pidfd = unsafe {
            libc::fcntl(pipe, libc::F_SETFL, libc::O_NONBLOCK);
            libc::syscall(libc::SYS_pidfd_open, pid, 0) as c_int
        };
        WatchedChild {
            pid,
            pipe,
            own,
            pidfd,
            reaped: false,
        }
    }

    fn finish(&self, child: WatchedChild) {
        drain(child.pipe, &mut [0; 4096], 0);
        if !child.reaped {
            assert_eq!(wait(child.pid), 0);
        }
        for descriptor in [child.own, child.pidfd, child.pipe] {
            // SAFETY: it is ours and not used again.
            unsafe { libc::close(descriptor) };
        }
    }

    /// Nobody else was told of what is read here, so nothing may be left: a second read makes sure of it.
    fn read(&self, child: &mut WatchedChild, buffer: &mut [u8]) -> usize {
        wait_in(child.own);
        let count = usize::try_from(read(child.pipe, buffer)).expect("there is something");
        count + usize::try_from(read(child.pipe, &mut buffer[count..])).unwrap_or(0)
    }

    /// A child that writes much would never exit if its output were not taken meanwhile. The threads are not to be woken by
    /// what wakes the caller.
    fn wait(&self, child: &mut WatchedChild) {
        let mut pipe = child.pipe;
        control(self.threads, libc::EPOLL_CTL_DEL, pipe, 0);
        loop {
            let [has_exited, is_ready] = wait_for_any([child.pidfd, pipe]);
            if is_ready && read(pipe, &mut [0; 4096]) == 0 {
                // What is negative is not waited for.
                pipe = -1;
            }
            if has_exited {
                break;
            }
        }
        wait(child.pid);
        child.reaped = true;
    }
}

fn epoll() -> c_int {
    // SAFETY: it takes a number.
    let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
    assert_ne!(epoll, -1);
    epoll
}

fn control(epoll: c_int, operation: c_int, pipe: c_int, events: c_int) {
    let mut event = libc::epoll_event {
        events: events as u32,
        u64: 0,
    };
    // SAFETY: the event is valid and only read.
    let done = unsafe { libc::epoll_ctl(epoll, operation, pipe, &mut event) };
    assert_eq!(done, 0);
}

fn wait_in(epoll: c_int) {
    let mut event = libc::epoll_event { events: 0, u64: 0 };
    // SAFETY: there is room for one event.
    unsafe { libc::epoll_wait(epoll, &mut event, 1, -1) };
}

extern "C" fn sleep_in(epoll: *mut c_void) -> *mut c_void {
    loop {
        wait_in(epoll.addr() as c_int);
    }
}
