//! procmgr starts shell commands for a host program, keeps a bounded picture of what each one printed, says exactly how
//! each one ended, and never leaves one behind.
mod config;
mod environment;
mod error;
mod id;
mod keeper;
mod life;
mod manager;
mod output;
mod process;
mod reader;
mod reaper;
mod request;
mod signal;
mod spawn;
mod sweep;
mod sys;
mod threads;
mod time;

pub use config::{Config, Environment, HookError, MAX_KEPT_BYTES};
pub use environment::ID_VARIABLE;
pub use error::{Error, Step};
pub use id::{Id, ParseIdError};
pub use life::{EndedBy, State, Usage};
pub use manager::Manager;
pub use output::{Chunk, MAX_CHARACTER_BYTES, ReadOptions, ReadState, Snapshot, Truncation};
pub use process::{Follow, Listing, Process, Status, Stopped, Stream};
pub use request::{MAX_ARGUMENT_BYTES, Request};
pub use signal::Signal;
