//! procmgr starts shell commands for a host program, keeps a bounded copy of their output, reports
//! exactly how each one ended, and leaves no process behind.
//!
//! # Why this is hard
//!
//! The exit of a command and the end of its output are different facts: a server that a command leaves
//! in the background holds the pipe for as long as it runs. A host that waits for the end of the output
//! hangs; one that closes the pipe kills the server; one that does neither loses the last line. A pid
//! may belong to an unrelated process as soon as its process was reaped. A child inherits blocked
//! signals and descriptors from its host, and `setsid` takes it out of reach of a signal to its group.
//! And output has no bound, while memory has.
//!
//! # What to call
//!
//! A [`Manager`] starts what a [`Request`] describes and returns a [`Process`]:
//! [`follow`](Process::follow) or [`read`](Process::read) its output as it comes, take a bounded
//! [`output`](Process::output) as text, [`wait`](Process::wait) for its end,
//! [`signal`](Process::signal) or [`stop`](Process::stop) it. Closing the manager ends all that is
//! left. [`Manager::scope`] returns a view that is limited to one owner. All methods may be called from
//! any thread; those that block say so.
//!
//! ```
//! use procmgr::{Config, Manager, Request, State, Stream};
//!
//! let manager = Manager::open(Config::new())?;
//! let process = manager.start(&Request::new("echo hello; exit 3"))?;
//! assert_eq!(process.wait()?.state, State::Exited(3));
//! assert_eq!(process.output(Stream::Stdout)?.text, "hello\n");
//! # Ok::<(), procmgr::Error>(())
//! ```
//!
//! # How it works
//!
//! The *leader* of a process is the child that the library starts: the shell or the program. A *survivor*
//! is a descendant of the leader that runs after the leader has ended. Each live process has two threads
//! of the library, a reader and a reaper, which are reused for later processes.
//!
//! - Start: a request is checked. The manager reserves a slot, completes the request with its options,
//!   makes the pipes for the output and acquires the two threads. Then `clone` makes the leader and gives
//!   the host a pidfd. The leader shares the host's memory until its `execve`. It gets its own process
//!   group, and its environment contains a cookie, which its descendants inherit.
//! - Output: the reader thread waits in epoll for the pipe. It reads the bytes straight into the
//!   output, which keeps the first and the last bytes of each stream, and notifies the callers that
//!   wait. [`Process::read`] copies bytes from a cursor on. Callers do not affect each other, except in a
//!   lossless stream: bytes before the highest cursor of any caller may be dropped. When no process holds
//!   the write end of the pipe, the stream has ended.
//! - End: the reaper thread waits in epoll for the pidfd, and a caller in [`Process::wait`] polls it
//!   too. The first of them that sees the exit reads what is left in the pipe, reaps the leader,
//!   records the end in the exit state, and wakes all callers that wait. The end is reported even if
//!   other processes hold the pipe.
//! - Stop: [`Process::stop`] sends TERM and CONT to the process group, and to each process outside of it
//!   that a scan of `/proc` finds by the cookie. It then waits until all of them have ended, up to the
//!   grace period. If anything is left after that, it sends KILL in the same way, and repeats the scan
//!   until none is found or ten seconds have passed. [`Manager::close`] does this for all processes at the
//!   same time. Its grace period is zero by default, so it begins with KILL.
//!
//! A signal never reaches a reused pid. A group is signalled by its number, under the lock under which its
//! leader is reaped, or, since Linux 6.9, through the pidfd of its leader. Every other process is signalled
//! through a pidfd of its own, or, if a filter refuses that, by its pid, with its start time checked right
//! before. There is one exception: before Linux 6.9, a host that reaps the leader itself
//! can do so between the check for that and the signal.
//!
//! # Limits
//!
//! The library is built for Linux and tested there. A process that is in uninterruptible sleep cannot be
//! ended. A process that leaves its group is not found if it overwrites its initial environment, or
//! executes a program with another one.

// The modules, in the order of a process:
//
//     request -> manager -> spawn -> pipe  -> reader -> output -> read, text
//                             |                            ^
//                             |                          drain
//                             |                            |
//                             +----> pidfd -> reaper -> exit -> wait, events
//
// `process` joins reader, reaper, output and exit. `threads` has the pairs of threads that run its
// tasks. `process::ending` stops processes, and `sweep` scans `/proc` for it. `keys` makes starts
// idempotent, `expiry` drops ended processes, and `ffi` is the C interface over the public types.
// `tests/layering.rs` checks that modules use only modules of lower layers.

#[cfg(not(target_os = "linux"))]
compile_error!("procmgr supports Linux only");

mod config;
mod cookie;
mod directory;
mod environment;
mod error;
mod events;
mod exit;
mod expiry;
/// The C interface. Public for its own tests and benchmarks only.
#[doc(hidden)]
pub mod ffi;
mod host;
mod id;
mod keys;
mod manager;
#[cfg(all(loom, test))]
mod model;
mod output;
mod process;
mod reader;
mod reaper;
mod request;
mod signal;
mod slots;
mod spawn;
mod status;
mod sweep;
mod sync;
mod sys;
mod threads;
mod time;

pub use config::{Config, Environment, HookError, MAX_KEPT_BYTES, StartMethod};
pub use cookie::{ANCESTORS_VARIABLE, HOST_VARIABLE, ID_VARIABLE, OWNER_VARIABLE};
pub use error::{Error, Step};
pub use events::{Event, Events, MAX_EVENTS};
pub use id::{Id, ParseIdError};
pub use keys::MAX_KEYS;
pub use manager::{Canceled, Manager};
#[cfg(fuzzing)]
#[doc(hidden)]
pub use output::fuzz_store;
pub use output::{Chunk, MAX_CHARACTER_BYTES, ReadOptions, ReadState, Snapshot, Truncation};
pub use process::{Follow, Process, Stream};
pub use request::{MAX_ARGUMENT_BYTES, MAX_KEY_BYTES, Request};
pub use signal::Signal;
pub use status::{EndedBy, Listing, State, Status, Stopped, Usage};

/// The examples of the README, compiled and run as documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
