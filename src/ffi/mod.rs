//! The C interface. Each exported function checks and converts its arguments, calls the public Rust API, and
//! converts the result. What a call means is decided by the Rust API.
//!
//! The body of each function that returns a code runs in `call`, which refuses a forked copy of the host,
//! catches panics, and sets `errno` last: to that of an error, or to its value before the call. The objects
//! of the caller are in the table of `handles`.
//!
//! The modules use one another in one direction:
//!
//! ```text
//! exported functions ─▶ convert ─▶ memory, handles ─▶ error ─▶ codes, types
//!                  └──▶ call ───────────────────────────┘
//! ```

#![allow(unsafe_code)]
#![allow(non_camel_case_types)]

mod call;
mod codes;
mod config;
mod convert;
mod error;
mod events;
mod handles;
mod keys;
mod manager;
mod memory;
mod output;
mod request;
mod start;
mod status;
mod stop;
mod types;

pub use codes::*;
pub use config::*;
pub use events::*;
pub use keys::*;
pub use manager::*;
pub use output::*;
pub use request::*;
pub use start::*;
pub use status::*;
pub use stop::*;
pub use types::*;
