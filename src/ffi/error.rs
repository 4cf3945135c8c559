//! The error of a call, and its conversion to a code, an `errno` and a `mgr_error`.

use std::ffi::c_char;

use crate::{Error, Step};

use super::codes::*;
use super::types::mgr_error;

/// The error of a call: one of the Rust API, or one that only the C interface has.
#[derive(Debug)]
pub(super) enum CallError {
    Api(Error),
    /// An argument that the types of the Rust API exclude.
    Argument(&'static str),
    Handle,
    Buffer,
    Panic,
}

pub(super) type CallResult = Result<i32, CallError>;

impl From<Error> for CallError {
    fn from(error: Error) -> Self {
        CallError::Api(error)
    }
}

impl CallError {
    pub(super) fn code(&self) -> i32 {
        match self {
            CallError::Argument(_) => MGR_ERR_INVALID,
            CallError::Handle => MGR_ERR_HANDLE,
            CallError::Buffer => MGR_ERR_BUFFER,
            CallError::Panic => MGR_ERR_PANIC,
            CallError::Api(error) => match error {
                Error::Invalid { .. } => MGR_ERR_INVALID,
                Error::Closed => MGR_ERR_CLOSED,
                Error::NotFound { .. } => MGR_ERR_NOT_FOUND,
                Error::NotRunning { .. } => MGR_ERR_NOT_RUNNING,
                Error::Spawn { .. } => MGR_ERR_SPAWN,
                Error::Limit { .. } => MGR_ERR_LIMIT,
                Error::Conflict => MGR_ERR_CONFLICT,
                Error::Canceled => MGR_ERR_CANCELED,
                Error::Expired { .. } => MGR_ERR_EXPIRED,
                Error::UnknownKey => MGR_ERR_NOT_FOUND,
                Error::StillRunning { .. } => MGR_ERR_INVALID,
                Error::StartPending => MGR_TIMEOUT,
                Error::Io { .. } => MGR_ERR_IO,
                Error::Forked => MGR_ERR_FORKED,
                Error::Unsupported { .. } => MGR_ERR_UNSUPPORTED,
            },
        }
    }

    pub(super) fn os_error(&self) -> i32 {
        match self {
            CallError::Api(error) => error.os_error().unwrap_or(0),
            _ => 0,
        }
    }

    fn step(&self) -> i32 {
        match self {
            CallError::Api(error) => match error.step() {
                None => MGR_STEP_NONE,
                Some(Step::Thread) => MGR_STEP_THREAD,
                Some(Step::Pipe) => MGR_STEP_PIPE,
                Some(Step::Process) => MGR_STEP_PROCESS,
                Some(Step::Directory) => MGR_STEP_DIRECTORY,
                Some(Step::Execute) => MGR_STEP_EXECUTE,
            },
            _ => MGR_STEP_NONE,
        }
    }

    fn message(&self) -> String {
        match self {
            CallError::Api(error) => error.to_string(),
            CallError::Argument(what) => format!("invalid argument: {what}"),
            _ => text(self.code()).to_string_lossy().into_owned(),
        }
    }

    /// Fills a `mgr_error`.
    pub(super) fn describe(&self, error: &mut mgr_error) {
        error.code = self.code();
        error.os_error = self.os_error();
        error.step = self.step();
        let message = self.message();
        let mut end = message.len().min(error.message.len() - 1);
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        error.message.fill(0);
        for (place, byte) in error.message.iter_mut().zip(&message.as_bytes()[..end]) {
            *place = *byte as c_char;
        }
    }
}
