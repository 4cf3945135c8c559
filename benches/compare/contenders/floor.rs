//! The lower bound that the kernel and the C library set: `posix_spawn` with file actions and no attributes, one pipe,
//! bare `read` and `waitpid`. Written with libc's functions, as C would be.

#![allow(unsafe_code)]

use std::ffi::{CString, c_char, c_int, c_void};
use std::mem::MaybeUninit;
use std::ptr;

use super::{Contender, Crowd};
use crate::protocol::BUFFER_BYTES;

unsafe extern "C" {
    static environ: *const *mut c_char;
}

/// How a pipe is read to its end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loop {
    /// Blocking reads.
    Blocking,
    /// Reads that do not block. When the pipe is empty, the other threads get some turns, then `poll`.
    Yielding,
}

/// How often the yielding loop calls `sched_yield` before it sleeps.
const MAX_YIELDS: u32 = 5;

pub(crate) struct Floor(pub(crate) Loop);

pub(crate) struct FloorChild {
    pid: libc::pid_t,
    pipe: c_int,
    /// Its status was taken.
    reaped: bool,
}

impl Contender for Floor {
    type Child = FloorChild;

    fn start(&self, command: &str) -> FloorChild {
        let (pid, pipe) = spawn(command);
        let reaped = false;
        if self.0 == Loop::Yielding {
            // SAFETY: these take numbers and touch no memory.
            unsafe { libc::fcntl(pipe, libc::F_SETFL, libc::O_NONBLOCK) };
        }
        FloorChild { pid, pipe, reaped }
    }

    fn finish(&self, child: FloorChild) {
        let mut buffer = [0; BUFFER_BYTES];
        match self.0 {
            Loop::Blocking => while read(child.pipe, &mut buffer) > 0 {},
            Loop::Yielding => drain(child.pipe, &mut buffer),
        }
        // SAFETY: the descriptor is ours and not used again.
        unsafe { libc::close(child.pipe) };
        if !child.reaped {
            assert_eq!(wait(child.pid), 0);
        }
    }

    fn read(&self, child: &mut FloorChild, buffer: &mut [u8]) -> usize {
        usize::try_from(read(child.pipe, buffer)).expect("a pipe can be read")
    }

    fn wait(&self, child: &mut FloorChild) {
        wait(child.pid);
        child.reaped = true;
    }

    fn crowd(&self, watched: bool) -> Box<dyn Crowd> {
        Box::new(Bare {
            children: Vec::new(),
            watched,
        })
    }
}

/// Returns the pid and the reading end.
fn spawn(command: &str) -> (libc::pid_t, c_int) {
    let command = CString::new(command).expect("no NUL");
    let (shell, option) = (c"/bin/sh", c"-c");
    let arguments = [
        shell.as_ptr().cast_mut(),
        option.as_ptr().cast_mut(),
        command.as_ptr().cast_mut(),
        ptr::null_mut(),
    ];
    let mut ends = [0; 2];
    let mut actions = MaybeUninit::uninit();
    let mut pid = 0;
    // SAFETY: the actions are initialised by the first call that takes them; all texts end with a NUL and the arrays
    // with NULL; the descriptors are ours.
    unsafe {
        assert_eq!(libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC), 0);
        libc::posix_spawn_file_actions_init(actions.as_mut_ptr());
        let actions = actions.assume_init_mut();
        let null = c"/dev/null".as_ptr();
        libc::posix_spawn_file_actions_addopen(actions, 0, null, libc::O_RDONLY, 0);
        libc::posix_spawn_file_actions_adddup2(actions, ends[1], 1);
        libc::posix_spawn_file_actions_adddup2(actions, ends[1], 2);
        let spawned = libc::posix_spawn(
            &mut pid,
            shell.as_ptr(),
            actions,
            ptr::null(),
            arguments.as_ptr(),
            environ,
        );
        assert_eq!(spawned, 0);
        libc::posix_spawn_file_actions_destroy(actions);
        libc::close(ends[1]);
    }
    (pid, ends[0])
}

fn read(pipe: c_int, buffer: &mut [u8]) -> isize {
    // SAFETY: the buffer is writable for its length.
    unsafe { libc::read(pipe, buffer.as_mut_ptr().cast(), buffer.len()) }
}

/// Reads a pipe that does not block to its end.
fn drain(pipe: c_int, buffer: &mut [u8]) {
    let mut yields = MAX_YIELDS;
    loop {
        match read(pipe, buffer) {
            0 => return,
            1.. => yields = 0,
            _ if yields < MAX_YIELDS => {
                yields += 1;
                // SAFETY: it touches no memory.
                unsafe { libc::sched_yield() };
            }
            _ => poll(pipe),
        }
    }
}

/// Waits until there is something to read, or the end.
fn poll(pipe: c_int) {
    let mut entry = libc::pollfd {
        fd: pipe,
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: the pointer is to one entry.
    unsafe { libc::poll(&mut entry, 1, -1) };
}

fn wait(pid: libc::pid_t) -> c_int {
    let mut status = 0;
    // SAFETY: the pointer is to a variable of the right type.
    while unsafe { libc::waitpid(pid, &mut status, 0) } != pid {}
    status
}

/// Children without a manager. If watched, each has two threads of its own with the smallest of stacks.
struct Bare {
    children: Vec<(libc::pid_t, c_int, Vec<libc::pthread_t>)>,
    watched: bool,
}

/// The stack of a thread that watches.
const STACK_BYTES: usize = 64 << 10;

impl Crowd for Bare {
    fn start(&mut self, command: &str) {
        let (pid, pipe) = spawn(command);
        let threads = match self.watched {
            true => vec![
                thread(read_to_end, pipe as usize),
                thread(wait_for, pid as usize),
            ],
            false => Vec::new(),
        };
        self.children.push((pid, pipe, threads));
    }

    fn stop(&mut self) {
        let (pid, pipe, threads) = self.children.pop().expect("one is left");
        // SAFETY: the child is not reaped, so the number is its own.
        unsafe { libc::kill(pid, libc::SIGKILL) };
        end(pid, pipe, threads);
    }

    fn close(self: Box<Self>) {
        for (pid, ..) in &self.children {
            // SAFETY: as above.
            unsafe { libc::kill(*pid, libc::SIGKILL) };
        }
        for (pid, pipe, threads) in self.children {
            end(pid, pipe, threads);
        }
    }
}

/// Waits for the end of a child that was killed: on its own threads, if it has any.
fn end(pid: libc::pid_t, pipe: c_int, threads: Vec<libc::pthread_t>) {
    if threads.is_empty() {
        wait(pid);
    }
    for thread in threads {
        // SAFETY: the thread was made joinable and is joined once.
        unsafe { libc::pthread_join(thread, ptr::null_mut()) };
    }
    // SAFETY: the descriptor is ours and not used again.
    unsafe { libc::close(pipe) };
}

fn thread(work: extern "C" fn(*mut c_void) -> *mut c_void, number: usize) -> libc::pthread_t {
    let mut attributes = MaybeUninit::uninit();
    let mut thread = MaybeUninit::uninit();
    // SAFETY: the attributes are initialised by the first call; the number is passed in the place of a pointer, and the
    // work takes it for a number.
    unsafe {
        libc::pthread_attr_init(attributes.as_mut_ptr());
        libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), STACK_BYTES);
        let number = ptr::without_provenance_mut(number);
        let made = libc::pthread_create(thread.as_mut_ptr(), attributes.as_ptr(), work, number);
        assert_eq!(made, 0);
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        thread.assume_init()
    }
}

extern "C" fn read_to_end(pipe: *mut c_void) -> *mut c_void {
    let mut buffer = [0; 512];
    while read(pipe.addr() as c_int, &mut buffer) > 0 {}
    ptr::null_mut()
}

extern "C" fn wait_for(pid: *mut c_void) -> *mut c_void {
    wait(pid.addr() as libc::pid_t);
    ptr::null_mut()
}
