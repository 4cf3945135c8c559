//! The C face: checks, converts, calls the public Rust API, converts. No rule lives here.
//!
//! Owns the table of handles. Each exported function is one `call`: it refuses a forked copy of the host, catches
//! panics, and sets `errno` last. Lock order: the table of handles is locked for a look-up only, and a leaf.

#![allow(unsafe_code)]
#![allow(non_camel_case_types)]

mod config;
mod convert;
mod events;
mod handles;
mod manager;
mod outcome;
mod process;
mod request;
mod types;

pub use config::*;
pub use events::*;
pub use manager::*;
pub use outcome::*;
pub use process::*;
pub use request::*;
pub use types::*;
