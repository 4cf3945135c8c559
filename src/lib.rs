//! procmgr starts shell commands for a host program, keeps a bounded picture of what each one printed, says exactly how
//! each one ended, and never leaves one behind.
//!
//! # Why this is hard
//!
//! The exit of a command and the end of its output are two different facts: a server that a command leaves in the
//! background holds the pipe for as long as it likes. Who waits for the end of the output hangs; who closes the pipe kills
//! the server; who does neither loses the last line. A process number belongs to a stranger the moment after its owner was
//! reaped. A child inherits blocked signals and descriptors from whoever starts it, and the next `setsid` takes it out
//! of reach of a signal to its group. And output has no bound, while memory has.
//!
//! # What to call
//!
//! A [`Manager`] starts what a [`Request`] describes and gives a [`Process`]: to [`follow`](Process::follow) or
//! [`read`](Process::read) its output as it comes, to take a bounded [`output`](Process::output) as text, to
//! [`wait`](Process::wait) for its end, to [`signal`](Process::signal) and [`stop`](Process::stop) it. Closing the manager
//! ends whatever is left. [`Manager::scope`] gives the view of one owner. All calls may be made from any thread; those that
//! block say so.
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
//! # Limits
//!
//! Linux is built for and tested. A process that hangs in the kernel cannot be ended by anybody. One that wipes its
//! environment, leaves its group and outlives its leader is not found.

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
/// The C face. Rust programs have no use for it, but its own tests and measurements.
#[doc(hidden)]
pub mod ffi;
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
pub use cookie::{ANCESTORS_VARIABLE, HOST_VARIABLE, ID_VARIABLE};
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
