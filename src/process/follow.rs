//! A stream of a process as a [`std::io::Read`].

use std::io;

use super::Stream;
use super::handle::Process;
use crate::output::{ReadOptions, ReadState};

/// Reads a stream of a process from its beginning to the end of the process, waiting for more as it comes.
///
/// [`Process::follow`] makes it. It ends when the process has ended and everything that it wrote was read,
/// although [survivors](crate#how-it-works) may still write; with
/// [`through_survivors`](Follow::through_survivors) it continues until no process can write. If bytes were
/// dropped because they were read too late from a stream that is not lossless, reading continues after them,
/// and [`lost`](Follow::lost) counts them.
#[derive(Debug)]
pub struct Follow {
    process: Process,
    stream: Stream,
    cursor: u64,
    lost: u64,
    options: ReadOptions,
}

impl Follow {
    pub(super) fn new(process: Process, stream: Stream) -> Self {
        let options = ReadOptions {
            until_process_end: true,
            ..ReadOptions::default()
        };
        Follow {
            process,
            stream,
            cursor: 0,
            lost: 0,
            options,
        }
    }

    /// Starts at this position of the stream instead of 0.
    pub fn from(mut self, cursor: u64) -> Self {
        self.cursor = cursor;
        self
    }

    /// Continues until no process holds the stream, and not only to the end of the process.
    pub fn through_survivors(mut self) -> Self {
        self.options.until_process_end = false;
        self
    }

    /// The position of the next byte.
    pub fn cursor(&self) -> u64 {
        self.cursor
    }

    /// How many bytes were dropped before they could be read.
    pub fn lost(&self) -> u64 {
        self.lost
    }
}

impl io::Read for Follow {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let chunk = self
            .process
            .read(self.stream, self.cursor, buffer, None, self.options)
            .map_err(io::Error::other)?;
        self.cursor = chunk.cursor;
        self.lost += chunk.lost;
        match chunk.state {
            ReadState::Data => Ok(chunk.length),
            ReadState::TimedOut | ReadState::ProcessEnded | ReadState::Eof => Ok(0),
        }
    }
}
