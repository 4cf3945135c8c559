//! Reading the output of one process: from a pipe into the output, until nobody holds the pipe.
//!
//! Owns the descriptors of the pipes, together with whoever holds a [`Source`]. The thread that reads is on call until there
//! is something to read. Promises: every byte goes to the output in order; callers that look out for bytes read them too, under
//! the output's lock, and meanwhile no thread is woken by them; a silent process costs no CPU; a lossless output that is full
//! stops the reading and nothing else. It knows nothing of the process. End of file is not the exit of the leader: that is the
//! reaper's to say.

use std::hint;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use crate::output::{Filled, Lookout, Output, Sighting};
use crate::sys::descriptor::{PollFd, available, poll, read_vectored};
use crate::sys::poller::{Entry, Interest};
use crate::time::Deadline;

/// How many reads of one pipe follow each other before the other pipe and the orders are looked at.
const READS_IN_A_ROW: usize = 64;

/// How often an empty pipe that had data just now is tried again before the thread sleeps: the writer is most likely
/// about to write, and a sleep and a wake-up cost more than its next write takes.
const YIELDS: usize = 5;

/// How long the writer of a stream is left alone after a read of less than this many bytes. Reads without pause find one write
/// each, and take the pipe's lock from under the next one: a writer that gets ahead writes a fifth more. The time is less than
/// its next write takes.
const BREATH: Duration = Duration::from_nanos(700);
const HALF_A_PIPE: usize = 32 << 10;

/// A pipe and the output that it goes to.
#[derive(Debug)]
pub(crate) struct Source {
    pipe: OwnedFd,
    output: Arc<Output>,
    /// Where the threads on call wait for it.
    entry: Entry,
    /// Nothing will come any more.
    has_ended: AtomicBool,
    /// The threads can be woken by it.
    is_in: AtomicBool,
    /// They will not be any more.
    has_left: AtomicBool,
    /// Where callers wait for the pipe, one at a time; made for the first one. From then on the threads are woken only by what
    /// comes while no caller waits.
    window: OnceLock<Entry>,
}

/// How a turn of reading ended.
pub(crate) enum Turn {
    /// There is nothing to read now.
    Empty,
    /// There may be more.
    More,
    /// The output is full.
    Full,
    /// Nobody will write any more.
    Closed,
}

impl Source {
    pub(crate) fn new(pipe: OwnedFd, output: Arc<Output>, entry: Entry) -> Self {
        Source {
            pipe,
            output,
            entry,
            has_ended: AtomicBool::new(false),
            is_in: AtomicBool::new(false),
            has_left: AtomicBool::new(false),
            window: OnceLock::new(),
        }
    }

    /// Lets one of the threads on call be woken by what is there, or comes next. Does nothing after [`leave`](Source::leave).
    ///
    /// Called by one at a time, as are all that follow which put the pipe in or take it out.
    pub(crate) fn listen(&self) -> io::Result<()> {
        if self.has_left.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.hush();
        let (entry, fd, interest) = (&self.entry, self.pipe.as_fd(), self.interest());
        match self.is_in.load(Ordering::Relaxed) {
            true => entry.change(fd, interest)?,
            false => entry.add(fd, interest)?,
        }
        self.is_in.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// A full output waits for its readers, unless nobody is left who could write more.
    fn interest(&self) -> Interest {
        match self.output.is_stalled() {
            true => Interest::Hangup,
            false if self.is_shared() => Interest::Behind,
            false => Interest::Readable,
        }
    }

    /// Keeps the threads from it while the reader is at work, if each write would wake one.
    pub(crate) fn hush(&self) {
        if self.is_shared() {
            self.withhold();
        }
    }

    /// Keeps the threads from it, even from its end, until they [listen](Source::listen) again.
    pub(crate) fn withhold(&self) {
        if self.is_in.swap(false, Ordering::Relaxed) {
            self.entry.remove(self.pipe.as_fd());
        }
    }

    /// No thread is woken by it any more, whoever has it still.
    pub(crate) fn leave(&self) {
        self.has_left.store(true, Ordering::Relaxed);
        self.withhold();
    }

    /// Whether its end was found: nobody will write any more.
    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Relaxed)
    }

    /// Callers can look out for bytes.
    pub(crate) fn is_shared(&self) -> bool {
        self.window.get().is_some()
    }

    /// Lets callers look out for bytes. The threads are behind them once they [listen](Source::listen) again.
    pub(crate) fn share(&self) -> io::Result<()> {
        let window = Arc::new(self.entry.poller().another()?);
        let window = Entry::new(&window, 0);
        window.add(self.pipe.as_fd(), Interest::Foremost)?;
        self.window.get_or_init(|| window);
        Ok(())
    }

    /// Takes what is in the pipe at this moment, even when the output is full.
    ///
    /// Called when a writer has exited, this is all that it wrote: what the reader thread has taken out of the pipe
    /// before is in the output, because it reads under the output's lock, and our last look needs that lock too.
    pub(crate) fn drain(&self) {
        let mut left = match self.has_ended() {
            true => 0,
            false => available(self.pipe.as_fd()).unwrap_or(0),
        };
        while left > 0 {
            match self.fill(true) {
                Ok(Filled::Bytes(count @ 1..)) => left = left.saturating_sub(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                _ => break,
            }
        }
    }

    fn fill(&self, beyond: bool) -> io::Result<Filled> {
        self.output
            .fill(beyond, |pieces| read_vectored(self.pipe.as_fd(), pieces))
    }

    /// Reads what there is, as far as it may go on.
    pub(crate) fn turn(&self) -> Turn {
        let mut yields = YIELDS;
        for _ in 0..READS_IN_A_ROW {
            match self.fill(false) {
                Ok(Filled::Bytes(0)) => return self.end(),
                Ok(Filled::Bytes(count)) => {
                    // It is a stream if the last data came a moment ago.
                    if yields < YIELDS && count < HALF_A_PIPE {
                        spin(BREATH);
                    }
                    yields = 0;
                }
                Ok(Filled::Full) if !self.is_hung_up() => return Turn::Full,
                // What is left in the pipe of a writer that is gone is kept beyond the size of the ring.
                Ok(Filled::Full) => {
                    self.drain();
                    return self.end();
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock if yields < YIELDS => {
                        yields += 1;
                        thread::yield_now();
                    }
                    io::ErrorKind::WouldBlock => {
                        self.output.cool();
                        return Turn::Empty;
                    }
                    // Nothing more can come from a descriptor that cannot be read.
                    _ => return self.end(),
                },
            }
        }
        Turn::More
    }

    /// The same for a pipe of which the kernel has told that nobody can write any more, and not that there is something to read.
    /// Most often there is nothing, and then no memory is taken to read it into; but it looks at one after the other.
    pub(crate) fn last_turn(&self) -> Turn {
        match available(self.pipe.as_fd()) {
            Ok(0) => self.end(),
            _ => self.turn(),
        }
    }

    /// Whether nobody is left who could write.
    fn is_hung_up(&self) -> bool {
        let mut set = [PollFd::readable(self.pipe.as_fd())];
        poll(&mut set, Some(Duration::ZERO)).is_ok() && set[0].hung_up()
    }

    fn end(&self) -> Turn {
        self.has_ended.store(true, Ordering::Relaxed);
        Turn::Closed
    }
}

impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

impl Lookout for Source {
    fn wait(&self, deadline: Deadline) -> Sighting {
        let window = self.window.get();
        match window.map(|window| window.poller().wait_for_one(deadline)) {
            Some(Ok((true, _))) => Sighting::Bytes,
            Some(Ok((false, false))) => Sighting::Nothing,
            // Or the host has closed it under our feet.
            Some(Ok((false, true)) | Err(_)) | None => Sighting::Closed,
        }
    }

    fn read(&self, pieces: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        read_vectored(self.pipe.as_fd(), pieces)
    }

    fn has_more(&self) -> bool {
        available(self.pipe.as_fd()).map_or(true, |count| count > 0)
    }

    fn raise(&self) {
        if let Some(window) = self.window.get() {
            window.poller().ring();
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Waits without sleeping.
fn spin(time: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < time {
        hint::spin_loop();
    }
}

/// Waits until there is something to read, but no longer than the pause.
pub(crate) fn watch(sources: &[Arc<Source>], pause: Duration) {
    let mut set: Vec<_> = sources
        .iter()
        .map(|source| match source.interest() {
            Interest::Hangup => PollFd::none(),
            _ => PollFd::readable(source.as_fd()),
        })
        .collect();
    let _ = poll(&mut set, Some(pause));
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fs::File;
    use std::io::{Read, Write};
    use std::path::Path;
    use std::process::{Command, Stdio};

    use super::*;
    use crate::output::{ReadOptions, ReadState, Sizes};
    use crate::sys::descriptor::set_nonblocking;
    use crate::sys::poller::Poller;

    /// How long something may take that takes no time, on a machine that is busy.
    pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

    /// A pipe that the threads listen to, whoever they are, and its other end.
    fn attended() -> (Arc<Poller>, Arc<Source>, io::PipeWriter) {
        let porch = Arc::new(Poller::new().expect("descriptors"));
        let (pipe, writer) = io::pipe().expect("a pipe");
        set_nonblocking(pipe.as_fd()).expect("it is open");
        let sizes = Sizes {
            head: 1 << 10,
            tail: 1 << 10,
            lossless: false,
        };
        let output = Arc::new(Output::new(sizes));
        let source = Source::new(pipe.into(), output, Entry::new(&porch, 1));
        source.listen().expect("memory");
        (porch, Arc::new(source), writer)
    }

    /// Whether the threads have been told of something to read, and of the end.
    fn told(porch: &Poller) -> (bool, bool) {
        porch.wait_for_one(Deadline::now()).expect("it is open")
    }

    /// Does something once another thread is asleep, which sleeps in one place only.
    pub(crate) fn while_asleep<T: Send>(
        sleeper: impl FnOnce() -> T + Send,
        deed: impl FnOnce(),
    ) -> T {
        let (tell, told) = crossbeam_channel::bounded(1);
        thread::scope(|scope| {
            let sleeper = scope.spawn(move || {
                let own = std::fs::read_link("/proc/thread-self").expect("a thread");
                tell.send(own).expect("it is awaited");
                sleeper()
            });
            let own = Path::new("/proc").join(told.recv().expect("it runs"));
            let is_asleep = |status: String| status.contains(") S ");
            let deadline = Deadline::after(PATIENCE);
            while !std::fs::read_to_string(own.join("stat")).is_ok_and(is_asleep) {
                assert!(!sleeper.is_finished(), "it did not sleep");
                assert!(!deadline.passed(), "it does not sleep");
                thread::yield_now();
            }
            deed();
            sleeper.join().expect("no panic")
        })
    }

    /// What a caller reads that is asleep when something is done; and whether the threads are to look again.
    fn read_asleep(source: &Arc<Source>, cursor: u64, deed: impl FnOnce()) -> (usize, bool) {
        let read = || {
            let lookout = |_| Some(Arc::clone(source) as Arc<dyn Lookout>);
            let (deadline, options) = (Deadline::after(PATIENCE), ReadOptions::default());
            let output = &source.output;
            output.read(cursor, &mut [0; 4096], options, deadline, lookout)
        };
        let (chunk, look) = while_asleep(read, deed);
        assert_eq!(chunk.state, ReadState::Data);
        (chunk.length, look)
    }

    /// Brings packets of three bytes with one call, as from a pipe that keeps writes apart.
    fn splice_packets(writer: &File, count: u64) {
        let (apart, end) = io::pipe().expect("a pipe");
        let mut dd = Command::new("dd")
            .args(["bs=3", "oflag=direct", "status=none"])
            .stdin(Stdio::piped())
            .stdout(end)
            .spawn()
            .expect("dd");
        let mut input = dd.stdin.take().expect("a pipe");
        input
            .write_all(&b"abc".repeat(count as usize))
            .expect("room");
        drop(input);
        assert!(dd.wait().expect("its end").success());
        // From a file that is a pipe to another one std splices.
        let mut packets = File::from(OwnedFd::from(apart)).take(3 * count);
        let moved = io::copy(&mut packets, &mut &*writer).expect("room");
        assert_eq!(moved, 3 * count);
    }

    /// Each thread that a write wakes costs the writer more than the write, and the caller waits for the writer.
    #[test]
    fn the_threads_are_told_of_what_comes_while_no_caller_waits() {
        let (porch, source, mut writer) = attended();
        writer.write_all(b"1").expect("room");
        assert_eq!(told(&porch), (true, false), "nobody waits");
        assert!(matches!(source.turn(), Turn::Empty));

        source.share().expect("descriptors");
        source.listen().expect("memory");
        let bytes = read_asleep(&source, 1, || writer.write_all(b"2").expect("room"));
        assert_eq!((bytes, told(&porch)), ((1, false), (false, false)));
        writer.write_all(b"3").expect("room");
        assert_eq!(told(&porch), (true, false), "nobody waits any more");
        assert_eq!(told(&porch), (false, false), "a write wakes one of them");
        assert!(matches!(source.turn(), Turn::Empty));

        // The reader has been at work and rests again.
        source.hush();
        source.listen().expect("memory");
        let bytes = read_asleep(&source, 3, || writer.write_all(b"4").expect("room"));
        assert_eq!((bytes, told(&porch)), ((1, false), (false, false)));

        // While it is at work, nobody else need be woken; what has come is told when it rests.
        source.hush();
        writer.write_all(b"5").expect("room");
        assert_eq!(told(&porch), (false, false));
        source.listen().expect("memory");
        assert_eq!(told(&porch), (true, false));
        assert!(matches!(source.turn(), Turn::Empty));

        drop(writer);
        // A process that another test is just starting may have it a moment longer.
        let end = porch.wait_for_one(Deadline::after(PATIENCE));
        assert_eq!(end.expect("it is open"), (false, true), "it is told to all");
    }

    /// The kernel looks whether there is something, and then whether somebody can write: who does both in between has told of
    /// the end alone.
    #[test]
    fn what_was_written_last_is_read() {
        for count in [0, 5] {
            let (_porch, source, mut writer) = attended();
            writer.write_all(&b"bytes"[..count]).expect("room");
            drop(writer);
            // A process that another test is just starting may have it a moment longer.
            let deadline = Deadline::after(PATIENCE);
            while !source.is_hung_up() {
                assert!(!deadline.passed(), "somebody has it");
                thread::yield_now();
            }
            assert!(matches!(source.last_turn(), Turn::Closed));
            assert!(source.has_ended());
            assert_eq!(source.output.total(), count as u64);
        }
    }

    /// Only the caller was told of bytes of which it takes the first: nobody else would read the others.
    #[test]
    fn the_threads_look_again_for_what_a_caller_has_left() {
        let (porch, source, mut writer) = attended();
        source.share().expect("descriptors");
        source.listen().expect("memory");
        let (count, look) = read_asleep(&source, 0, || {
            writer.write_all(&[0; 60_000]).expect("room");
        });
        assert!(0 < count && count < 60_000);
        assert_eq!((look, told(&porch)), (true, (false, false)));
        source.listen().expect("memory");
        assert_eq!(told(&porch), (true, false));
    }

    /// In a pipe that keeps writes apart a short read is not all: of a second packet that came with it nobody was told.
    #[test]
    fn a_caller_reads_all_packets_or_the_threads_look_again() {
        let (porch, source, writer) = attended();
        let writer = File::from(OwnedFd::from(writer));
        source.share().expect("descriptors");
        source.listen().expect("memory");
        for (packets, length, look) in [(1, 3, false), (2, 6, false), (5, 6, true)] {
            let begin = source.output.total();
            let read = read_asleep(&source, begin, || splice_packets(&writer, packets));
            assert_eq!((read, told(&porch)), ((length, look), (false, false)));
            source.listen().expect("memory");
            assert_eq!(told(&porch), (look, false), "{packets}");
            while !matches!(source.turn(), Turn::Empty) {}
            assert_eq!(source.output.total(), begin + 3 * packets);
        }
    }
}
