//! One stream of a process: written by its reader thread, read by any number of callers.
//!
//! Owns the kept bytes and the callers that wait for more. Promises: bytes are appended in the order in which they are
//! read; a caller sees a consistent moment; every waiter is woken by new bytes, by the leader's end and by the end of
//! the stream; each [`Sink`] gets every byte once and in order. One lock, a leaf of the lock order: nothing else is locked
//! while it is held. It is held while a non-blocking `readv` copies out of the pipe, because that goes straight into the kept
//! bytes.

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

/// The longest encoding of a character: with [`ReadOptions::whole_characters`] a buffer must hold this many bytes.
pub const MAX_CHARACTER_BYTES: usize = 4;

/// How much of each stream is kept.
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
    /// A chunk never ends inside a UTF-8 character, unless the stream has ended there. The buffer must hold at least
    /// [`MAX_CHARACTER_BYTES`].
    pub whole_characters: bool,
    /// Stop waiting when the process has ended and all that it had written by then was read
    /// ([`ReadState::ProcessEnded`]), even though something that it left behind may still write.
    pub until_process_end: bool,
}

/// What a read found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// How many bytes of the buffer were written.
    pub length: usize,
    /// Where the next read goes on: the position after the last byte that was written.
    pub cursor: u64,
    /// How many bytes between the old cursor and the first byte in the buffer are gone for good.
    pub lost: u64,
    /// Why the read came back.
    pub state: ReadState,
}

/// Why a read came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadState {
    /// There are bytes past the cursor.
    Data,
    /// The time was up before there were any.
    TimedOut,
    /// The process has ended and there are no bytes past the cursor now; a survivor may write more. Only with
    /// [`ReadOptions::until_process_end`].
    ProcessEnded,
    /// Nothing will ever follow this cursor.
    Eof,
}

/// A bounded picture of a stream, as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The text: the whole output, or its beginning and its end with a note between them.
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
    /// Bytes of the output that the text does not show: those between head and tail and those cut from long lines.
    pub omitted_bytes: u64,
    /// How the text was chosen: `head_tail`.
    pub strategy: &'static str,
}

/// One stream of a process.
pub(crate) struct Output {
    /// Protects the kept bytes and the flags. A leaf: nothing is locked while it is held.
    inner: Mutex<Inner>,
    /// Signalled, with `inner`, when bytes came, the process ended or the stream ended.
    changed: Condvar,
}

struct Inner {
    store: Store,
    /// Somebody may still write.
    open: bool,
    /// The leader has ended, and all that it wrote is in the store.
    process_ended: bool,
    /// Who is to be told once, and past which cursor there must be a byte for it.
    watches: Vec<(u64, Arc<dyn Notify>)>,
    /// Who was told of the end of the process. A second time would be no news, and make who watches on run in circles
    /// while a survivor is silent.
    told_of_end: Vec<u64>,
}

/// Is told once that there is something past a cursor. Called without a lock.
pub(crate) trait Notify: Send + Sync {
    /// Who is told: a second watch of the same one takes the place of the first.
    fn who(&self) -> u64;
    fn notify(&self);
}

impl Output {
    /// `sinks` get every byte too.
    pub(crate) fn new(sizes: Sizes, sinks: Vec<Box<dyn Sink>>) -> Self {
        let store = Store::new(sizes.head, sizes.tail, sizes.lossless);
        Output {
            inner: Mutex::new(Inner {
                store: store.with_sinks(sinks),
                open: true,
                process_ended: false,
                watches: Vec::new(),
                told_of_end: Vec::new(),
            }),
            changed: Condvar::new(),
        }
    }

    /// Lets `read` put the next bytes of the stream straight into the kept ones; see [`Store::fill`]. `read` must not
    /// block.
    pub(crate) fn fill(
        &self,
        beyond: bool,
        read: impl FnOnce(&mut [IoSliceMut<'_>]) -> io::Result<usize>,
    ) -> io::Result<Filled> {
        let mut inner = self.inner.lock();
        if !inner.open {
            // Somebody was told that nothing will follow: what a survivor still writes comes too late.
            return Ok(Filled::Bytes(0));
        }
        let filled = inner.store.fill(beyond, read)?;
        if let Filled::Bytes(1..) = filled {
            self.tell(inner);
        }
        Ok(filled)
    }

    /// Wakes who waits and tells who watches, after a change.
    fn tell(&self, mut inner: MutexGuard<'_, Inner>) {
        self.changed.notify_all();
        let told = inner.take_watches();
        drop(inner);
        told.iter().for_each(|watch| watch.notify());
    }

    /// Tells `watch` once: when there is a byte past `cursor`, or the stream has ended; also when the process has, unless
    /// it was told of that before.
    pub(crate) fn watch(&self, cursor: u64, watch: Arc<dyn Notify>) {
        let mut inner = self.inner.lock();
        inner
            .watches
            .retain(|(_, other)| other.who() != watch.who());
        inner.watches.push((cursor, watch));
        self.tell(inner);
    }

    /// There is nothing to read for now.
    pub(crate) fn cool(&self) {
        self.inner.lock().store.cool();
    }

    /// Nobody will write any more. False if that was known.
    pub(crate) fn close(&self) -> bool {
        let mut inner = self.inner.lock();
        if inner.open {
            inner.open = false;
            inner.store.shrink();
            self.tell(inner);
            return true;
        }
        false
    }

    /// Somebody may still write.
    pub(crate) fn is_open(&self) -> bool {
        self.inner.lock().open
    }

    /// The process has ended, and what it had written is here.
    pub(crate) fn process_ended(&self) {
        let mut inner = self.inner.lock();
        inner.process_ended = true;
        self.tell(inner);
    }

    /// It is full, lossless, and nobody has read since.
    pub(crate) fn is_stalled(&self) -> bool {
        self.inner.lock().store.is_stalled()
    }

    pub(crate) fn total(&self) -> u64 {
        self.inner.lock().store.total()
    }

    /// Reads from `cursor`, waiting until `deadline` for the first byte. Calls `resume`, without a lock, when this has made room
    /// in a lossless output that was full.
    pub(crate) fn read(
        &self,
        cursor: u64,
        buffer: &mut [u8],
        options: ReadOptions,
        deadline: Deadline,
        resume: impl Fn(),
    ) -> Chunk {
        let mut inner = self.inner.lock();
        let mut chunk = Chunk {
            length: 0,
            cursor,
            lost: 0,
            state: ReadState::Data,
        };
        while !inner.take(buffer, options, &mut chunk) {
            chunk.state = if !inner.open {
                ReadState::Eof
            } else if options.until_process_end && inner.process_ended {
                ReadState::ProcessEnded
            } else if deadline.passed() {
                ReadState::TimedOut
            } else {
                // A caller that waits at a cursor needs nothing of what is before it, and may be the only one that reads.
                if inner.store.mark_read(chunk.cursor) {
                    MutexGuard::unlocked(&mut inner, &resume);
                    continue;
                }
                match deadline.instant() {
                    Some(at) => drop(self.changed.wait_until(&mut inner, at)),
                    None => self.changed.wait(&mut inner),
                }
                continue;
            };
            break;
        }
        let resumed = inner.store.mark_read(chunk.cursor);
        drop(inner);
        if resumed {
            resume();
        }
        chunk
    }

    /// The bounded text of what has come by now.
    pub(crate) fn snapshot(&self, max_line: usize) -> Snapshot {
        let kept = self.inner.lock().store.kept();
        text::render(kept, max_line)
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output").finish_non_exhaustive()
    }
}

impl Inner {
    /// Takes out the watches whose time has come.
    fn take_watches(&mut self) -> Vec<Arc<dyn Notify>> {
        if self.watches.is_empty() {
            return Vec::new();
        }
        let (open, ended, total) = (self.open, self.process_ended, self.store.total());
        let told = &mut self.told_of_end;
        let (due, rest) =
            std::mem::take(&mut self.watches)
                .into_iter()
                .partition(|(cursor, watch)| {
                    let who = watch.who();
                    let is_news = ended && !told.contains(&who);
                    if is_news {
                        told.push(who);
                    }
                    is_news || !open || total > *cursor
                });
        self.watches = rest;
        let due: Vec<(u64, _)> = due;
        due.into_iter().map(|(_, watch)| watch).collect()
    }

    /// Copies what lies past the chunk's cursor. False if there is nothing to give yet.
    fn take(&self, buffer: &mut [u8], options: ReadOptions, chunk: &mut Chunk) -> bool {
        loop {
            let found = self.store.find(chunk.cursor);
            if found.position >= self.store.total() {
                // Everything up to the end may be gone, in a store without a tail.
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
                    // The beginning of a character: the rest is to come.
                    return false;
                }
                // The rest of this character fell between head and tail: its beginning is lost with it.
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
