package procmgr

// #include <procmgr.h>
import "C"

import (
	"context"
	"sync"
	"time"
)

// A hub lets any number of goroutines wait for what happens to the processes of one manager, with one OS thread: that of
// its dispatcher, which blocks in the library and tells those who wait here.
//
// Nobody relies on being told what has happened. Who waits joins first, then looks, and looks again whenever it is told
// that something did; so nothing is missed between the look and the waiting, and being told too often does no harm.
type hub struct {
	events C.mgr_events_t
	// A token for each start that is under way, and for each other call: see startsAtOnce and callsAtOnce.
	starts, calls chan struct{}
	// Closed when the dispatcher has ended, after err was set: nothing will be told any more.
	done chan struct{}
	err  error

	// Protects topics and the waiters in them. The calls that are made with it held do not block.
	mu     sync.Mutex
	topics map[topic]map[*waiter]struct{}
}

// How many starts of a manager are under way at once. A start takes as long as the kernel does, and more at once do not
// make it faster; those that hang do hold up the others, which wait for as long as their contexts let them.
const startsAtOnce = 8

// How many other calls of a manager are under way at once, but for closing. They do not block, but the system may take
// the processor away in the middle of one, and then Go makes another OS thread for whoever is next. A thousand goroutines
// that are woken at the same time would need hundreds.
const callsAtOnce = 8

// begin is called before a call of the library that does not block, and end after it.
func (h *hub) begin() { h.calls <- struct{}{} }
func (h *hub) end()   { <-h.calls }

// A topic is what can be waited for: a kind of event of a process, and for MGR_EVENT_READABLE of a stream.
type topic struct {
	id     C.mgr_id
	kind   C.int32_t
	stream C.int32_t
}

// A waiter is one waiting goroutine.
type waiter struct {
	// Holds a token when there is a reason to look again.
	woken chan struct{}
	// The event that was waited for has come, and not only a reason to look.
	told bool
	// What to read from, while armed: the library is asked to tell when there is something past it.
	cursor uint64
	armed  bool
	// When to look again in any case; nil is never. Of the waiting goroutine itself, without the lock.
	again <-chan time.Time
}

func newHub(manager C.mgr_t) (*hub, error) {
	h := &hub{
		starts: make(chan struct{}, startsAtOnce),
		calls:  make(chan struct{}, callsAtOnce),
		done:   make(chan struct{}),
		topics: make(map[topic]map[*waiter]struct{}),
	}
	if code, cause := C.mgr_events_open(manager, &h.events); code < 0 {
		return nil, failure("open", "", code, cause)
	}
	go h.dispatch()
	return h, nil
}

// dispatch tells what happens, until the manager is closed.
func (h *hub) dispatch() {
	defer close(h.done)
	defer C.mgr_events_release(h.events)
	event := new(C.mgr_event)
	event.struct_size = C.sizeof_mgr_event
	for {
		code, cause := C.mgr_events_next(h.events, -1, event)
		switch {
		case code < 0:
			h.err = failure("wait", "", code, cause)
			return
		case code != C.MGR_OK:
			// No event, and no reason to stop.
		case event.kind == C.MGR_EVENT_MISSED:
			h.tellAll()
		default:
			t := topic{id: event.id, kind: event.kind}
			if event.kind == C.MGR_EVENT_READABLE {
				t.stream = event.stream
			}
			h.tell(t)
		}
	}
}

func (h *hub) tell(t topic) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for w := range h.topics[t] {
		w.told = true
		w.wake()
	}
}

// tellAll lets everybody look: nobody knows what has happened.
func (h *hub) tellAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, waiters := range h.topics {
		for w := range waiters {
			w.wake()
		}
	}
}

// wake is called with the lock held.
func (w *waiter) wake() {
	w.armed = false
	select {
	case w.woken <- struct{}{}:
	default: // It has not looked since it was woken before.
	}
}

func (h *hub) join(t topic) *waiter {
	w := &waiter{woken: make(chan struct{}, 1)}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.topics[t] == nil {
		h.topics[t] = make(map[*waiter]struct{})
	}
	h.topics[t][w] = struct{}{}
	return w
}

func (h *hub) leave(t topic, w *waiter) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.topics[t], w)
	if len(h.topics[t]) == 0 {
		delete(h.topics, t)
	}
}

// wasTold says whether the event itself has come since it was last asked.
func (h *hub) wasTold(w *waiter) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	told := w.told
	w.told = false
	return told
}

// arm asks the library to tell when there is something to read past the cursor. It has one cursor for each stream, so
// that is the lowest one of those who wait.
func (h *hub) arm(manager C.mgr_t, t topic, w *waiter, cursor uint64) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	w.cursor, w.armed = cursor, true
	for other := range h.topics[t] {
		if other.armed && other.cursor < cursor {
			cursor = other.cursor
		}
	}
	return h.watch(manager, t, cursor)
}

func (h *hub) watch(manager C.mgr_t, t topic, cursor uint64) error {
	h.begin()
	code, cause := C.mgr_events_watch(h.events, manager, &t.id.text[0], t.stream, C.uint64_t(cursor))
	h.end()
	if code == C.MGR_ERR_HANDLE && h.ended() {
		// The dispatcher has given the subscription back: who waits will see that, and look again.
		return nil
	}
	return failure("watch", idText(&t.id), code, cause)
}

// ended says whether nothing will be told any more.
func (h *hub) ended() bool {
	select {
	case <-h.done:
		return true
	default:
		return false
	}
}

// await calls look until it says that it is done, after each time that it was told something about the topic, and a last
// time when nothing will be told any more.
func (h *hub) await(ctx context.Context, t topic, look func(*waiter) (done bool, err error)) error {
	w := h.join(t)
	defer h.leave(t, w)
	for {
		last := h.ended()
		if done, err := look(w); done || err != nil {
			return err
		}
		if last {
			return h.err
		}
		select {
		case <-w.woken:
		case <-w.again:
		case <-h.done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
