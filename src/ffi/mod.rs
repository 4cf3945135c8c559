//! The C face: checks, converts, calls the public Rust API, converts. No rule lives here.
//!
//! Owns the table of handles. Each exported function is one `call::call`: it refuses a forked
//! copy of the host, catches panics, and sets `errno` last: an error's, or the caller's as it was. Lock
//! order: the table of handles is locked for a look-up only, a leaf.
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
