//! The bytes of one stream that are kept: the first `head`, the last `tail`, and a count of all.
//!
//! A [`Store`] owns its memory, which grows with the bytes of the stream: the store of a silent stream has
//! none. Bytes are read from the pipe straight into the free memory ([`Store::fill`]). Positions are
//! absolute, from the stream's first byte. Those below `head` are in the head, the others in the ring, in
//! which position `p` lies at `(p - ring_base) % ring.len()`. This module uses no lock and no descriptor.

use std::fmt;
use std::io::{self, IoSliceMut};

/// The size of the first allocation for a stream.
const FIRST_ALLOCATION: usize = 1024;

/// Gets every byte of a stream, once and in order, after it was stored. No type outside of the tests
/// implements it.
pub(crate) trait Sink: Send + fmt::Debug {
    /// The next bytes, at least one. Called with the output's lock held: it neither blocks nor locks.
    fn push(&mut self, bytes: &[u8]);
}

#[derive(Debug)]
pub(crate) struct Store {
    head: Vec<u8>,
    head_limit: usize,
    ring: Vec<u8>,
    /// The maximum size of the ring.
    ring_limit: usize,
    /// How many bytes of the ring a snapshot shows.
    tail_limit: usize,
    /// The position that lies at the beginning of the ring's memory.
    ring_base: u64,
    /// The first position that the ring still holds.
    ring_from: u64,
    /// The number of bytes of the stream so far.
    total: u64,
    /// In a lossless store: no byte from this position on may be dropped.
    needed_from: Option<u64>,
    /// The last fill replaced the whole ring, so the next one grows it to [`BURST_RING`].
    burst: bool,
    /// A fill found no room, and [`clear_stall`](Store::clear_stall) has not found room since.
    stalled: bool,
    sinks: Vec<Box<dyn Sink>>,
}

/// The minimum of the maximum size of a lossless ring. The reader thread stops when the ring is full, and a
/// caller of `read` re-arms the pipe when half of the ring is free. Each round costs two wake-ups. With
/// 16 KiB these took most of the time of a fast command.
const LOSSLESS_RING: usize = 256 << 10;

/// The size of the ring during a burst: as many bytes as a pipe holds, so that one system call empties
/// it. With 16 KiB the system calls took a third of the time. A snapshot still shows the tail only.
pub(super) const BURST_RING: usize = 64 << 10;

/// The room that is reserved in a copy of head and tail for the marker between them.
const NOTE_ROOM: usize = 64;

/// The size of the pieces in which long copies are made.
const COPY_BYTES: usize = 1024;

/// The result of [`Store::fill`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Filled {
    /// The number of bytes that were read; 0 is the end of the stream.
    Bytes(usize),
    /// A lossless store has no room until a caller of `read` has read more.
    Full,
}

/// Where reading continues.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ReadPosition {
    /// The first kept position at or after the one asked for.
    pub(crate) position: u64,
    /// How many bytes before it were dropped.
    pub(crate) lost: u64,
}

/// A copy of all kept bytes, for a snapshot.
#[derive(Debug)]
pub(crate) struct Kept {
    /// The head, then the tail.
    pub(crate) bytes: Vec<u8>,
    /// Where the tail begins in `bytes`, if bytes between head and tail are missing.
    pub(crate) gap_at: Option<usize>,
    /// The number of bytes of the stream so far.
    pub(crate) total: u64,
}

impl Store {
    pub(crate) fn new(head_limit: usize, tail_limit: usize, lossless: bool) -> Self {
        Store {
            head: Vec::new(),
            head_limit,
            ring: Vec::new(),
            ring_limit: if lossless {
                tail_limit.max(LOSSLESS_RING)
            } else {
                tail_limit
            },
            tail_limit,
            ring_base: head_limit as u64,
            ring_from: head_limit as u64,
            total: 0,
            needed_from: lossless.then_some(0),
            burst: false,
            stalled: false,
            sinks: Vec::new(),
        }
    }

    /// The same store with these sinks.
    pub(crate) fn with_sinks(mut self, sinks: Vec<Box<dyn Sink>>) -> Self {
        self.sinks = sinks;
        self
    }

    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// Calls `read`, which writes the next bytes of the stream into the free memory and returns how
    /// many it wrote. Each sink gets them.
    ///
    /// With `grow`, a full lossless store grows above its maximum size to make room.
    pub(crate) fn fill(
        &mut self,
        grow: bool,
        read: impl FnOnce(&mut [IoSliceMut<'_>]) -> io::Result<usize>,
    ) -> io::Result<Filled> {
        let in_head = self.head_used();
        if in_head < self.head_limit && in_head == self.head.len() {
            let grown = double(&mut self.head, self.head_limit);
            if !grown {
                // Out of memory: the head ends here, and the rest of the output goes to the ring.
                self.head_limit = in_head;
                self.ring_from = in_head as u64;
                self.ring_base = self.ring_from;
            }
        }
        if in_head < self.head_limit {
            let room = &mut self.head[in_head..];
            let length = room.len();
            let count = read(&mut [IoSliceMut::new(room)])?.min(length);
            push(&mut self.sinks, &room[..count]);
            self.total += count as u64;
            return Ok(Filled::Bytes(count));
        }

        let mut free = self.ring_free();
        if free == 0 && self.ring.len() < self.ring_limit {
            let wanted = self.ring.len().saturating_mul(2).max(FIRST_ALLOCATION);
            self.resize_ring(wanted.min(self.ring_limit));
            if self.ring.len() < wanted.min(self.ring_limit) && !self.ring.is_empty() {
                // Out of memory: the ring keeps its size, and that becomes its maximum. Trying to grow
                // it at each fill would drop its bytes each time, or, in a lossless store, never read
                // another byte.
                self.ring_limit = self.ring.len();
                self.tail_limit = self.tail_limit.min(self.ring_limit);
            }
            free = self.ring_free();
        }
        if free == 0 && grow && self.needed_from.is_some() {
            self.resize_ring(self.ring.len() + self.ring.len().max(FIRST_ALLOCATION));
            free = self.ring_free();
        }
        if free == 0 {
            if self.needed_from.is_some() {
                self.stalled = true;
                return Ok(Filled::Full);
            }
            return self.count_only(read);
        }
        if self.burst && self.ring.len() < BURST_RING {
            self.burst = false;
            self.resize_ring(BURST_RING);
            free = self.ring_free();
        }
        let start = self.ring_index(self.total);
        let (before, after) = self.ring.split_at_mut(start);
        let first = after.len().min(free);
        let second = before.len().min(free - first);
        let count = read(&mut [
            IoSliceMut::new(&mut after[..first]),
            IoSliceMut::new(&mut before[..second]),
        ])?
        .min(free);
        push(&mut self.sinks, &after[..count.min(first)]);
        push(&mut self.sinks, &before[..count.saturating_sub(first)]);
        self.total += count as u64;
        let kept = match self.needed_from {
            Some(_) => self.ring.len(),
            None => self.ring.len().min(self.tail_limit),
        };
        let oldest = self.total.saturating_sub(kept as u64);
        self.ring_from = self.ring_from.max(oldest);
        // One read has filled the whole ring: more bytes are probably waiting.
        let whole = count == self.ring.len() && count >= self.tail_limit;
        self.burst = whole && self.needed_from.is_none();
        Ok(Filled::Bytes(count))
    }

    /// Ends a burst: the ring shrinks from [`BURST_RING`] to the tail.
    pub(crate) fn end_burst(&mut self) {
        if self.needed_from.is_none() && self.ring.len() > self.tail_limit {
            self.resize_ring(self.tail_limit);
        }
        self.burst = false;
    }

    /// Counts bytes and does not keep them, for a store whose head is full and that has no tail, or no memory
    /// for one.
    fn count_only(
        &mut self,
        read: impl FnOnce(&mut [IoSliceMut<'_>]) -> io::Result<usize>,
    ) -> io::Result<Filled> {
        let mut scratch = [0; 512];
        let length = scratch.len();
        let count = read(&mut [IoSliceMut::new(&mut scratch)])?.min(length);
        push(&mut self.sinks, &scratch[..count]);
        self.total += count as u64;
        self.ring_from = self.total.max(self.ring_from);
        self.ring_base = self.ring_from;
        Ok(Filled::Bytes(count))
    }

    /// The first kept byte at or after `cursor`, and how many before it were dropped.
    pub(crate) fn find(&self, cursor: u64) -> ReadPosition {
        let gone = cursor >= self.head_used() as u64 && cursor < self.ring_from.min(self.total);
        let position = if gone { self.ring_from } else { cursor };
        ReadPosition {
            position,
            lost: position - cursor,
        }
    }

    /// Copies kept bytes from `position`, a result of [`find`](Store::find), up to the next gap.
    pub(crate) fn copy(&self, position: u64, buffer: &mut [u8]) -> usize {
        let mut done = 0;
        self.pieces(position, |piece| {
            let count = piece.len().min(buffer.len() - done);
            buffer[done..done + count].copy_from_slice(&piece[..count]);
            done += count;
        });
        done
    }

    /// Records that a caller has read up to `cursor`. In a lossless store, bytes before the highest cursor
    /// of any caller may be dropped. True if a fill found the store full and there is room now: then the
    /// pipe must be re-armed.
    pub(crate) fn mark_read(&mut self, cursor: u64) -> bool {
        if let Some(needed) = &mut self.needed_from {
            *needed = cursor.min(self.total).max(*needed);
        }
        self.stalled && self.has_room()
    }

    /// Clears the stall of a full store if there is room. True if the store is not stalled.
    pub(crate) fn clear_stall(&mut self) -> bool {
        self.stalled = self.stalled && !self.has_room();
        !self.stalled
    }

    /// Whether half of the ring is free. With less, the reader thread and a caller that reads would take
    /// turns for every few bytes.
    fn has_room(&self) -> bool {
        self.ring_free() >= self.ring.len() / 2
    }

    /// Copies the kept bytes: the first `head` and the last `tail` bytes, with [room](NOTE_ROOM) for
    /// the marker.
    pub(crate) fn kept(&self) -> Kept {
        let head = self.head_used();
        let tail_from = self
            .total
            .saturating_sub(self.tail_limit as u64)
            .max(self.ring_from)
            .min(self.total)
            .max(head as u64);
        let mut bytes = Vec::with_capacity(head + (self.total - tail_from) as usize + NOTE_ROOM);
        let mut add = |piece: &[u8]| {
            // A long copy is one instruction, which on some processors takes five times
            // as long at some distances between source and destination. Short copies avoid it.
            let short = piece.chunks(COPY_BYTES);
            short.for_each(|piece| bytes.extend_from_slice(piece));
        };
        add(&self.head[..head]);
        self.ring_pieces(tail_from, add);
        Kept {
            bytes,
            gap_at: (tail_from > head as u64).then_some(head),
            total: self.total,
        }
    }

    /// Frees the memory that was allocated for bytes that never came. For a stream that has ended.
    pub(crate) fn shrink(&mut self) {
        let head = self.head_used();
        self.head.truncate(head);
        self.head.shrink_to_fit();
        let used = (self.total - self.ring_from.min(self.total)) as usize;
        if used < self.ring.len() {
            self.resize_ring(used);
        }
    }

    fn head_used(&self) -> usize {
        // The head's limit fits in a usize, so the minimum of the two does.
        self.total.min(self.head_limit as u64) as usize
    }

    /// How many bytes of the ring may be written. Not meaningful while the head has room.
    fn ring_free(&self) -> usize {
        let from = match self.needed_from {
            // The ring is smaller than the tail: it has to grow, whether its bytes were read or not.
            _ if self.ring.len() < self.tail_limit => self.ring_from,
            None => self.total,
            Some(needed) => needed.max(self.ring_from),
        };
        let used = self.total - from;
        self.ring.len() - used as usize
    }

    fn ring_index(&self, position: u64) -> usize {
        ((position - self.ring_base) % self.ring.len() as u64) as usize
    }

    /// Changes the size of the ring, which must hold the bytes in it. If out of memory, it keeps its
    /// size.
    fn resize_ring(&mut self, length: usize) {
        let mut ring = Vec::new();
        if !grow_to(&mut ring, length) {
            return;
        }
        let mut done = 0;
        self.ring_pieces(self.ring_from, |piece| {
            ring[done..done + piece.len()].copy_from_slice(piece);
            done += piece.len();
        });
        self.ring = ring;
        self.ring_base = self.ring_from;
    }

    /// The kept bytes from `position` up to the next gap.
    fn pieces<'a>(&'a self, position: u64, mut take: impl FnMut(&'a [u8])) {
        let head = self.head_used();
        if position < head as u64 {
            take(&self.head[position as usize..head]);
            if self.ring_from > head as u64 {
                return;
            }
        }
        self.ring_pieces(position.max(head as u64), take);
    }

    fn ring_pieces<'a>(&'a self, position: u64, mut take: impl FnMut(&'a [u8])) {
        if position < self.ring_from || position >= self.total {
            return;
        }
        let length = (self.total - position) as usize;
        let start = self.ring_index(position);
        let first = length.min(self.ring.len() - start);
        take(&self.ring[start..start + first]);
        if first < length {
            take(&self.ring[..length - first]);
        }
    }
}

fn push(sinks: &mut [Box<dyn Sink>], bytes: &[u8]) {
    if !bytes.is_empty() {
        sinks.iter_mut().for_each(|sink| sink.push(bytes));
    }
}

/// Doubles a buffer, up to its limit. False if there is no memory for it.
fn double(buffer: &mut Vec<u8>, limit: usize) -> bool {
    let wanted = buffer.len().saturating_mul(2).max(FIRST_ALLOCATION);
    grow_to(buffer, wanted.min(limit))
}

/// Makes a buffer longer. False, and no change, if there is no memory for it.
fn grow_to(buffer: &mut Vec<u8>, length: usize) -> bool {
    let more = length.saturating_sub(buffer.len());
    let grown = buffer.try_reserve_exact(more).is_ok();
    if grown {
        buffer.resize(length, 0);
    }
    grown
}
