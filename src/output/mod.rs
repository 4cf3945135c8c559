//! One stream of a process. The reader thread and the drain at the leader's exit fill it, and any number of
//! callers read it.
//!
//! An [`Output`] holds the kept bytes and the list of watches. Bytes are appended in the order in which they
//! are read from the pipe. Each read and each snapshot is consistent. Every waiting caller is woken by new
//! bytes, by the leader's end and by the end of the stream. Each [`Sink`] gets every byte once and in order;
//! only the tests have sinks.
//!
//! Lock order: an output has one lock, a leaf. It is held during a non-blocking `readv`, which copies from
//! the pipe straight into the kept bytes.

#[cfg(fuzzing)]
mod fuzz;
mod store;
#[cfg(test)]
mod tests;
mod text;

use std::fmt;
use std::io::{self, IoSliceMut};
use std::sync::Arc;

use crate::sync::{Condvar, Mutex, MutexGuard};
use crate::time::Deadline;

#[cfg(fuzzing)]
pub use fuzz::fuzz_store;
use store::Store;
pub(crate) use store::{Filled, Sink};

/// The longest encoding of a character: with [`ReadOptions::whole_characters`] a buffer must hold this
/// many bytes.
pub const MAX_CHARACTER_BYTES: usize = 4;

/// How many bytes of each stream are kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) head: usize,
    pub(crate) tail: usize,
    pub(crate) lossless: bool,
}

/// How to read from a stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReadOptions {
    /// A chunk never ends inside a UTF-8 character, unless the stream has ended there. The buffer must
    /// hold at least [`MAX_CHARACTER_BYTES`].
    pub whole_characters: bool,
    /// Stop waiting when the process has ended and everything that it had written by then was read
    /// ([`ReadState::ProcessEnded`]), although a [survivor](crate#how-it-works) may still write.
    pub until_process_end: bool,
}

/// The result of a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// How many bytes were copied into the buffer.
    pub length: usize,
    /// Where the next read continues: the position after the last byte that was copied.
    pub cursor: u64,
    /// How many bytes between the old cursor and the first byte in the buffer were dropped.
    pub lost: u64,
    /// Why the read came back.
    pub state: ReadState,
}

/// Why a read came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadState {
    /// There are bytes at or after the cursor.
    Data,
    /// The timeout passed first.
    TimedOut,
    /// The process has ended and there is nothing to read at or after the cursor now. A
    /// [survivor](crate#how-it-works) may write more. Only with [`ReadOptions::until_process_end`].
    ProcessEnded,
    /// The stream has ended, and there are no bytes at or after the cursor.
    Eof,
}

/// A bounded copy of a stream, as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The text: the whole output, or its beginning and its end with a marker between them.
    pub text: String,
    /// The numbers, if the text does not show every byte of the output.
    pub truncation: Option<Truncation>,
}

/// How a [`Snapshot`] and the output it was made from differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Truncation {
    /// Bytes of the output.
    pub original_bytes: u64,
    /// Bytes of the text.
    pub retained_bytes: u64,
    /// Bytes of the output that the text does not show: those between head and tail and those cut from
    /// long lines.
    pub omitted_bytes: u64,
    /// How the text was chosen: `head_tail`.
    pub strategy: &'static str,
}

/// One stream of a process.
pub(crate) struct Output {
    /// Protects the kept bytes and the flags. A leaf: nothing is locked while it is held.
    data: Mutex<OutputData>,
    /// Used with the mutex `data`. Notified when bytes came, the process ended or the stream ended.
    changed: Condvar,
}

struct OutputData {
    store: Store,
    /// The stream has not ended: a process may still write.
    open: bool,
    /// The leader has ended, and all that it wrote is in the store.
    process_ended: bool,
    /// The watches that have not been notified, each with its cursor.
    watches: Vec<(u64, Arc<dyn Notify>)>,
    /// The subscribers that were notified of the end of the process. A second notification would say
    /// nothing new, and a subscriber that watches again after each one would loop while a survivor is
    /// silent.
    end_notified: Vec<u64>,
}

/// A subscriber that is notified once: when a byte at or after a cursor is available, or when the process or
/// the stream has ended. Called without a lock.
pub(crate) trait Notify: Send + Sync {
    /// Identifies the subscriber. A second watch of the same subscriber replaces the first.
    fn subscriber(&self) -> u64;
    fn notify(&self);
}

impl Output {
    /// An empty output. The sinks get every byte too.
    pub(crate) fn new(sizes: Sizes, sinks: Vec<Box<dyn Sink>>) -> Self {
        let store = Store::new(sizes.head, sizes.tail, sizes.lossless);
        Output {
            data: Mutex::new(OutputData {
                store: store.with_sinks(sinks),
                open: true,
                process_ended: false,
                watches: Vec::new(),
                end_notified: Vec::new(),
            }),
            changed: Condvar::new(),
        }
    }

    /// Calls `read`, which copies the next bytes of the stream straight into the store; see
    /// [`Store::fill`]. `read` must not block.
    pub(crate) fn fill(
        &self,
        grow: bool,
        read: impl FnOnce(&mut [IoSliceMut<'_>]) -> io::Result<usize>,
    ) -> io::Result<Filled> {
        let mut data = self.data.lock();
        if !data.open {
            // Callers have got the end of the stream. Bytes that a survivor writes after that are
            // dropped.
            return Ok(Filled::Bytes(0));
        }
        let filled = data.store.fill(grow, read)?;
        if let Filled::Bytes(1..) = filled {
            self.notify(data);
        }
        Ok(filled)
    }

    /// Wakes the waiting callers and notifies the watches that are due, after a change.
    fn notify(&self, mut data: MutexGuard<'_, OutputData>) {
        let due = data.take_due();
        // Released first: a woken thread needs the lock.
        drop(data);
        self.changed.notify_all();
        due.iter().for_each(|watch| watch.notify());
    }

    /// Notifies `watch` once: when a byte at or after `cursor` is available or the stream has ended; also
    /// when the process has ended, unless its subscriber was notified of that before.
    pub(crate) fn watch(&self, cursor: u64, watch: Arc<dyn Notify>) {
        let mut data = self.data.lock();
        data.watches
            .retain(|(_, other)| other.subscriber() != watch.subscriber());
        data.watches.push((cursor, watch));
        self.notify(data);
    }

    /// Called when the pipe is empty. See [`Store::end_burst`].
    pub(crate) fn end_burst(&self) {
        self.data.lock().store.end_burst();
    }

    /// Ends the stream. Bytes written later are not read. False if it had ended before.
    pub(crate) fn close(&self) -> bool {
        let mut data = self.data.lock();
        if data.open {
            data.open = false;
            data.store.shrink();
            self.notify(data);
            return true;
        }
        false
    }

    /// The stream has not ended: a process may still write.
    pub(crate) fn is_open(&self) -> bool {
        self.data.lock().open
    }

    /// Records that the leader has ended, and that everything that it wrote is in the store. The callers
    /// that wait are not notified yet.
    pub(crate) fn set_process_ended(&self) {
        self.data.lock().process_ended = true;
    }

    /// Notifies the callers that wait that the process has ended.
    pub(crate) fn notify_process_ended(&self) {
        self.notify(self.data.lock());
    }

    /// Clears the stall of a full store that has room again. True if the next bytes of the pipe may be read.
    pub(crate) fn clear_stall(&self) -> bool {
        self.data.lock().store.clear_stall()
    }

    pub(crate) fn total(&self) -> u64 {
        self.data.lock().store.total()
    }

    /// Reads from `cursor`, waiting until `deadline` for the first byte. Calls `rearm`, without a lock,
    /// when the read has made room in a lossless output that was full: it must re-arm the pipe.
    pub(crate) fn read(
        &self,
        cursor: u64,
        buffer: &mut [u8],
        options: ReadOptions,
        deadline: Deadline,
        rearm: impl Fn(),
    ) -> Chunk {
        let mut data = self.data.lock();
        let mut chunk = Chunk {
            length: 0,
            cursor,
            lost: 0,
            state: ReadState::Data,
        };
        // Whether to re-arm the pipes of a full store before the next wait.
        let mut may_rearm = true;
        while !data.take(buffer, options, &mut chunk) {
            chunk.state = if !data.open {
                ReadState::Eof
            } else if options.until_process_end && data.process_ended {
                ReadState::ProcessEnded
            } else if deadline.passed() {
                ReadState::TimedOut
            } else {
                // A caller that waits at a cursor does not need the bytes before it, and may be the only
                // caller that reads.
                if data.store.mark_read(chunk.cursor) && may_rearm {
                    may_rearm = false;
                    MutexGuard::unlocked(&mut data, &rearm);
                    continue;
                }
                may_rearm = true;
                match deadline.instant() {
                    Some(at) => drop(self.changed.wait_until(&mut data, at)),
                    None => self.changed.wait(&mut data),
                }
                continue;
            };
            break;
        }
        let has_room = data.store.mark_read(chunk.cursor);
        drop(data);
        if has_room {
            rearm();
        }
        chunk
    }

    /// The bounded text of the stream so far.
    pub(crate) fn snapshot(&self, max_line: usize) -> Snapshot {
        let kept = self.data.lock().store.kept();
        text::render(kept, max_line)
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output").finish_non_exhaustive()
    }
}

impl OutputData {
    /// Removes and returns the watches that are due.
    fn take_due(&mut self) -> Vec<Arc<dyn Notify>> {
        if self.watches.is_empty() {
            return Vec::new();
        }
        let (open, ended, total) = (self.open, self.process_ended, self.store.total());
        let notified = &mut self.end_notified;
        let (due, rest) =
            std::mem::take(&mut self.watches)
                .into_iter()
                .partition(|(cursor, watch)| {
                    let subscriber = watch.subscriber();
                    let is_new_end = ended && !notified.contains(&subscriber);
                    if is_new_end {
                        notified.push(subscriber);
                    }
                    is_new_end || !open || total > *cursor
                });
        self.watches = rest;
        let due: Vec<(u64, _)> = due;
        due.into_iter().map(|(_, watch)| watch).collect()
    }

    /// Copies the bytes from the chunk's cursor on. False if there are none yet.
    fn take(&self, buffer: &mut [u8], options: ReadOptions, chunk: &mut Chunk) -> bool {
        loop {
            let found = self.store.find(chunk.cursor);
            if found.position >= self.store.total() {
                // In a store without a tail, all bytes up to the end may be dropped.
                chunk.cursor = found.position;
                chunk.lost += found.lost;
                return false;
            }
            if buffer.is_empty() {
                return true;
            }
            let mut count = self.store.copy(found.position, buffer);
            let end = found.position + count as u64;
            if options.whole_characters && (self.open || end < self.store.total()) {
                count -= text::unfinished(&buffer[..count]);
            }
            if count == 0 {
                if end == self.store.total() {
                    // The beginning of a character: the rest has not been read yet.
                    return false;
                }
                // The rest of this character was dropped between head and tail: its beginning counts as
                // lost too.
                chunk.lost += end - chunk.cursor;
                chunk.cursor = end;
                continue;
            }
            chunk.lost += found.lost;
            chunk.cursor = found.position + count as u64;
            chunk.length = count;
            chunk.state = ReadState::Data;
            return true;
        }
    }
}
