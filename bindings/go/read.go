package procmgr

/*
#include <procmgr.h>

// Reads as mgr_read does, without waiting. With a time in record_ms the leader has exited: if there is nothing to read, the
// library records the end first, for which it has this time. What is not there after that will not come: the followers may
// not be told yet.
static int32_t procmgr_go_read(mgr_t manager, const char *id, int32_t stream, uint64_t *cursor, void *buffer,
	size_t capacity, size_t *length, uint64_t *lost, int64_t record_ms)
{
	uint64_t lost_before;
	int32_t code = mgr_read(manager, id, stream, cursor, buffer, capacity, length, lost, 0);
	if (code != MGR_TIMEOUT || record_ms == 0 || mgr_wait(manager, id, record_ms, NULL) != MGR_OK)
		return code;
	lost_before = *lost;
	code = mgr_read(manager, id, stream, cursor, buffer, capacity, length, lost, 0);
	*lost += lost_before;
	return code == MGR_TIMEOUT ? MGR_ENDED : code;
}
*/
import "C"

import (
	"context"
	"io"
	"time"
	"unsafe"
)

// A Stream is one of output.
type Stream int32

// The streams.
const (
	Stdout Stream = C.MGR_STDOUT // standard output; standard error too, unless the streams are separate
	Stderr Stream = C.MGR_STDERR // standard error, if the streams are separate
)

// TruncationStrategy is how the text of an [Output] is chosen: its beginning and its end.
const TruncationStrategy = "head_tail"

// An Output is a text of bounded size that stands for a stream: valid UTF-8, the whole output, or its beginning and its end with a
// note between them.
type Output struct {
	Text string
	// Truncation has the numbers, if the text does not show every byte of the output; else it is nil.
	Truncation *Truncation
}

// A Truncation says how the text of an [Output] and the output that it was made from differ.
type Truncation struct {
	OriginalBytes uint64 // of the output
	RetainedBytes uint64 // of the text
	OmittedBytes  uint64 // of the output that the text does not show
	Strategy      string // how the text was chosen: [TruncationStrategy]
}

// Output gives the bounded text of a stream, as it is at this moment.
func (p *Process) Output(stream Stream) (Output, error) {
	p.manager.begin()
	defer p.manager.end()
	truncation := new(C.mgr_truncation)
	truncation.struct_size = C.sizeof_mgr_truncation
	text, err := takeText(func(buffer *C.char, capacity C.size_t, length *C.size_t) error {
		code, cause := C.mgr_output(p.manager.handle, &p.id.text[0], C.int32_t(stream), buffer, capacity, length, truncation)
		return p.failure("output", code, cause)
	})
	if err != nil {
		return Output{}, err
	}
	output := Output{Text: text}
	if truncation.truncated != 0 {
		output.Truncation = &Truncation{
			OriginalBytes: uint64(truncation.original_bytes),
			RetainedBytes: uint64(truncation.retained_bytes),
			OmittedBytes:  uint64(truncation.omitted_bytes),
			Strategy:      TruncationStrategy,
		}
	}
	return output, nil
}

// A Chunk is what one read found.
type Chunk struct {
	Length int    // how many bytes of the buffer were written
	Cursor uint64 // where the next read goes on
	Lost   uint64 // how many bytes between the old cursor and the first byte in the buffer are gone for good
}

// Read reads the raw bytes of a stream from a cursor on, which is 0 at first, waiting for the first one. Any number of
// callers can read, each with a cursor of its own. Callers do not affect each other, except in a lossless stream: bytes
// before the highest cursor of any caller may be dropped. If the bytes at the cursor were dropped, reading goes on after
// them, and the chunk says how many were lost.
//
// The error is [io.EOF] when the process has ended and all that it wrote was read. Something that it left behind may still
// write: another Read with the same cursor finds what has come.
//
// When ctx ends before there is a byte, Read returns its error. What is there already is read in any case: with a ctx
// that has ended, Read does not wait. With an empty buffer it waits until there is something to read.
func (p *Process) Read(ctx context.Context, stream Stream, cursor uint64, buffer []byte) (Chunk, error) {
	return p.read(ctx, stream, cursor, buffer, false)
}

// How often the output of a process that has ended is read, while a survivor holds it. The library reports such a stream as
// readable once, at the end of the process, so there is no event to wait for.
const survivorsEach = 20 * time.Millisecond

func (p *Process) read(
	ctx context.Context, stream Stream, cursor uint64, buffer []byte, throughSurvivors bool,
) (Chunk, error) {
	chunk := Chunk{Cursor: cursor}
	waitForSurvivors := false
	look := func(hasExited bool) (done bool, err error) {
		code, err := p.readNow(stream, buffer, &chunk, hasExited)
		switch {
		case err != nil:
			return false, err
		case code == C.MGR_EOF, code == C.MGR_ENDED && !throughSurvivors:
			return true, io.EOF
		}
		waitForSurvivors = code == C.MGR_ENDED
		return code == C.MGR_OK, nil
	}
	if done, err := look(false); done || err != nil {
		return chunk, err
	}
	hub := p.manager.hub
	readable := topic{id: p.id, kind: C.MGR_EVENT_READABLE, stream: C.int32_t(stream)}
	var process *C.mgr_process
	err := hub.await(ctx, readable, func(w *waiter) (bool, error) {
		if done, err := look(hub.hasExited(w)); done || err != nil {
			return done, err
		}
		if waitForSurvivors {
			w.again = time.After(survivorsEach)
			return false, nil
		}
		if !throughSurvivors && !hub.hasExited(w) {
			// The end of the process is the end of the stream, and the kernel reports it sooner.
			if process == nil {
				process = new(C.mgr_process)
				process.struct_size = C.sizeof_mgr_process
			}
			if code, cause := p.look(w, process); code < 0 {
				return false, p.failure("read", code, cause)
			}
		}
		// If something has come since the look, the event comes at once.
		return false, hub.arm(p.manager.handle, readable, w, chunk.Cursor)
	})
	return chunk, err
}

// readNow reads what is there, and moves the chunk's cursor. Its code says what it found.
func (p *Process) readNow(
	stream Stream, buffer []byte, chunk *Chunk, hasExited bool,
) (code C.int32_t, err error) {
	p.manager.begin()
	defer p.manager.end()
	var (
		cursor      = C.uint64_t(chunk.Cursor)
		length      C.size_t
		lost        C.uint64_t
		cause       error
		id          = &p.id.text[0]
		untilTheEnd = C.int32_t(stream) | C.MGR_READ_UNTIL_END
		record      = C.int64_t(0)
	)
	if hasExited {
		record = recordTimeout
	}
	if len(buffer) == 0 {
		code, cause = C.procmgr_go_read(p.manager.handle, id, untilTheEnd, &cursor, nil, 0, &length, &lost, record)
	} else {
		// The address is taken in the call, for then cgo checks the bytes for pointers, and nothing around them.
		code, cause = C.procmgr_go_read(p.manager.handle, id, untilTheEnd, &cursor,
			unsafe.Pointer(&buffer[0]), C.size_t(len(buffer)), &length, &lost, record)
	}
	if code < 0 {
		return code, p.failure("read", code, cause)
	}
	chunk.Length = int(length)
	chunk.Cursor = uint64(cursor)
	chunk.Lost += uint64(lost)
	return code, nil
}

// A Follower reads a stream of a process from its beginning to the end of the process, waiting for more as it comes. It is
// an [io.Reader], made by [Process.Follow].
//
// Where bytes are gone because the follower was too slow for a stream that is not lossless, reading goes on after them,
// and Lost counts them.
//
// A Follower is for one goroutine at a time; a process can have any number of them.
type Follower struct {
	process          *Process
	ctx              context.Context
	stream           Stream
	cursor           uint64
	lost             uint64
	throughSurvivors bool
}

// Follow gives a stream as an [io.Reader]. When ctx ends, a Read that waits returns its error.
func (p *Process) Follow(ctx context.Context, stream Stream) *Follower {
	return &Follower{process: p, ctx: ctx, stream: stream}
}

// From begins at this position of the stream instead of 0.
func (f *Follower) From(cursor uint64) *Follower {
	f.cursor = cursor
	return f
}

// ThroughSurvivors goes on until no process holds the stream, and not only to the end of the process.
func (f *Follower) ThroughSurvivors() *Follower {
	f.throughSurvivors = true
	return f
}

// Cursor gives the position of the next byte.
func (f *Follower) Cursor() uint64 {
	return f.cursor
}

// Lost counts the bytes that were gone before they could be read.
func (f *Follower) Lost() uint64 {
	return f.lost
}

// Read reads what has come, or waits for it. It is io.EOF that ends the stream.
func (f *Follower) Read(buffer []byte) (int, error) {
	if len(buffer) == 0 {
		return 0, nil
	}
	if err := f.ctx.Err(); err != nil {
		return 0, err
	}
	chunk, err := f.process.read(f.ctx, f.stream, f.cursor, buffer, f.throughSurvivors)
	f.cursor = chunk.Cursor
	f.lost += chunk.Lost
	return chunk.Length, err
}
