package procmgr

/*
#include <procmgr.h>

// What this package uses of an event.
typedef struct {
	mgr_id id;
	int32_t kind, stream;
} procmgr_go_event;

// Takes up to capacity events, without blocking. Those that the package does not use are dropped. The result is the code
// of the last mgr_events_next.
static int32_t procmgr_go_events(mgr_events_t events, procmgr_go_event *taken, int32_t capacity, int32_t *count)
{
	mgr_event event;
	int32_t code = MGR_OK;
	event.struct_size = sizeof event;
	*count = 0;
	while (*count < capacity) {
		code = mgr_events_next(events, 0, &event);
		if (code != MGR_OK)
			break;
		if (event.kind == MGR_EVENT_STARTED || event.kind == MGR_EVENT_OUTPUT_CLOSED)
			continue;
		taken[*count].id = event.id;
		taken[*count].kind = event.kind;
		taken[*count].stream = event.stream;
		++*count;
	}
	return code;
}
*/
import "C"

import (
	"context"
	"os"
	"sync"
	"syscall"
	"time"
)

// A hub lets any number of goroutines wait for the processes of one manager without an OS thread for each of them. One
// goroutine, the dispatcher, waits in Go's poller and wakes the others.
//
// The dispatcher waits for two kinds of descriptors, in an epoll instance of the hub:
//
//   - the pidfd of each process whose exit a goroutine waits for. The kernel reports the exit directly; the goroutine then
//     lets the library record it. This takes one wake-up.
//   - the descriptor of the library's events, for everything else. It is armed only while a goroutine needs events:
//     otherwise each process would wake the dispatcher three times.
//
// A wake-up is only a reason to look. A goroutine registers first, then looks, and looks again after each wake-up: so
// nothing is missed between a look and the wait, and a wake-up without a cause does no harm.
type hub struct {
	events C.mgr_events_t
	// A token for each start that is in progress, and for each other call: see startsAtOnce and callsAtOnce.
	starts, calls chan struct{}
	// Closed when the dispatcher has ended, after err was set: there will be no more wake-ups.
	done chan struct{}
	err  error

	// The hub's epoll instance, and the file by which Go's poller waits for it.
	epoll int
	file  *os.File
	// The descriptor of the events.
	eventsFD int

	// Protects all that follows, and the waiters. Calls of the library that are made with it held do not block. A token of
	// calls may be taken while it is held; it is not taken by a holder of such a token.
	mu     sync.Mutex
	topics map[topic]map[*waiter]struct{}
	// How many waiters need events, and whether the descriptor of the events is armed.
	needs int
	armed bool
	// Where need takes events to.
	old [batch]C.procmgr_go_event
	// The processes whose pidfd is registered, by id and by token. exits is nil when the dispatcher has ended.
	exits   map[C.mgr_id]*exit
	byToken map[uint64]*exit
	// The last token that was given.
	token uint64
	// The number of pidfds that may be open at once.
	maxExits int
	// How many exits were reported since events were last taken.
	reported int
}

// The number of starts of a manager that are in progress at once. More do not make the kernel faster. Starts that hang
// delay the others, which wait as long as their contexts let them.
const startsAtOnce = 8

// The number of other calls of a manager that are in progress at once, except for closing. They do not block, but the
// kernel may preempt the thread in the middle of one, and then Go makes another OS thread for the next goroutine. A
// thousand goroutines that are woken at the same time would need hundreds.
const callsAtOnce = 8

// The number of pidfds of a manager that are open at once. Further goroutines wait for the library's event of the end.
const maxExits = 256

// The number of events that are taken in one call, and of descriptors.
const batch = 64

// Events that no goroutine needs stay in the library's queue. They are taken after this many exits, so that the next
// goroutine that needs events does not have to take thousands.
const takeEvery = 1024

// The token of the descriptor of the events.
const eventsToken = 0

// begin is called before a call of the library that does not block, and end after it.
func (h *hub) begin() { h.calls <- struct{}{} }
func (h *hub) end()   { <-h.calls }

// A topic is what can be waited for: a kind of event of a process, and for MGR_EVENT_READABLE of a stream.
type topic struct {
	id     C.mgr_id
	kind   C.int32_t
	stream C.int32_t
}

// An exit is the pidfd of a process, and the waiters for it.
type exit struct {
	id      C.mgr_id
	token   uint64
	fd      int
	waiters map[*waiter]struct{}
}

// A waiter is one waiting goroutine.
type waiter struct {
	// Holds a token when there is a reason to look again.
	woken chan struct{}
	// The event that was waited for has come, and not only a reason to look.
	told bool
	// What to read from, while armed: the library was asked for an event when there is something at or after it.
	cursor uint64
	armed  bool
	// It needs events, and is counted in needs.
	needs bool
	// The process whose exit it waits for; nil if there is none.
	exit *exit
	// The kernel has reported the exit.
	exited bool
	// When to look again in any case; nil is never. Of the waiting goroutine itself, without the lock.
	again <-chan time.Time
}

func newHub(manager C.mgr_t) (*hub, error) {
	h := &hub{
		starts:   make(chan struct{}, startsAtOnce),
		calls:    make(chan struct{}, callsAtOnce),
		done:     make(chan struct{}),
		topics:   make(map[topic]map[*waiter]struct{}),
		exits:    make(map[C.mgr_id]*exit),
		byToken:  make(map[uint64]*exit),
		maxExits: maxExits,
	}
	if code, cause := C.mgr_events_open(manager, &h.events); code < 0 {
		return nil, failure("open", "", code, cause)
	}
	if err := h.openPoller(); err != nil {
		C.mgr_events_release(h.events)
		return nil, err
	}
	go h.dispatch()
	return h, nil
}

func (h *hub) openPoller() error {
	var fd C.int32_t
	if code, cause := C.mgr_events_descriptor(h.events, &fd); code < 0 {
		return failure("open", "", code, cause)
	}
	h.eventsFD = int(fd)
	epoll, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return failure("open", "", C.MGR_ERR_IO, err)
	}
	h.epoll = epoll
	// Registered for nothing: armed when a goroutine needs events.
	if err = h.control(syscall.EPOLL_CTL_ADD, h.eventsFD, 0, eventsToken); err == nil {
		// Go's poller takes only what does not block.
		err = syscall.SetNonblock(epoll, true)
	}
	if err != nil {
		syscall.Close(epoll)
		return failure("open", "", C.MGR_ERR_IO, err)
	}
	h.file = os.NewFile(uintptr(epoll), "procmgr")
	return nil
}

// control changes a registration with the hub's epoll instance.
func (h *hub) control(operation, fd int, interest uint32, token uint64) error {
	event := syscall.EpollEvent{Events: interest, Fd: int32(uint32(token)), Pad: int32(token >> 32)}
	return syscall.EpollCtl(h.epoll, operation, fd, &event)
}

// dispatch wakes the waiters, until the manager is closed.
func (h *hub) dispatch() {
	h.err = h.serve()
	h.mu.Lock()
	for _, e := range h.exits {
		syscall.Close(e.fd)
	}
	h.exits, h.byToken = nil, nil
	h.file.Close()
	h.mu.Unlock()
	close(h.done)
	C.mgr_events_release(h.events)
}

func (h *hub) serve() error {
	conn, err := h.file.SyscallConn()
	if err != nil {
		return failure("wait", "", C.MGR_ERR_IO, err)
	}
	var (
		ready  [batch]syscall.EpollEvent
		taken  = new([batch]C.procmgr_go_event)
		failed error
	)
	err = conn.Read(func(uintptr) bool {
		// Go's poller reports changes only, so this goes on until nothing is ready.
		for {
			count, err := syscall.EpollWait(h.epoll, ready[:], 0)
			if err == syscall.EINTR {
				continue
			}
			if err != nil {
				failed = failure("wait", "", C.MGR_ERR_IO, err)
				return true
			}
			if count <= 0 {
				return false
			}
			areEvents := h.report(ready[:count])
			if areEvents {
				if failed = h.take(taken); failed != nil {
					return true
				}
			}
		}
	})
	if err != nil && failed == nil {
		failed = failure("wait", "", C.MGR_ERR_IO, err)
	}
	return failed
}

// report wakes the waiters of processes that have exited. It says whether events are to be taken.
func (h *hub) report(ready []syscall.EpollEvent) (areEvents bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range ready {
		token := uint64(uint32(ready[i].Fd)) | uint64(uint32(ready[i].Pad))<<32
		if token == eventsToken {
			// It is armed for one report.
			h.armed = false
			areEvents = true
			continue
		}
		if e := h.byToken[token]; e != nil {
			for w := range e.waiters {
				w.exit = nil
				w.exited = true
				w.wake()
			}
			h.forget(e)
			h.reported++
		}
	}
	if h.reported >= takeEvery {
		areEvents = true
	}
	if areEvents {
		h.reported = 0
	}
	return areEvents
}

// take takes all events and wakes the waiters for them. The error says that there will be no more events.
func (h *hub) take(taken *[batch]C.procmgr_go_event) error {
	for {
		var count C.int32_t
		code, cause := C.procmgr_go_events(h.events, &taken[0], batch, &count)
		h.mu.Lock()
		h.tellEach(taken[:count])
		if code == C.MGR_TIMEOUT && h.needs > 0 {
			h.armEvents()
		}
		h.mu.Unlock()
		switch {
		case code < 0:
			return failure("wait", "", code, cause)
		case code == C.MGR_TIMEOUT:
			return nil
		}
	}
}

// tellEach wakes the waiters for these events. Called with the lock held.
func (h *hub) tellEach(taken []C.procmgr_go_event) {
	for i := range taken {
		event := &taken[i]
		switch event.kind {
		case C.MGR_EVENT_MISSED:
			h.wakeAll()
		case C.MGR_EVENT_READABLE:
			h.tell(topic{event.id, event.kind, event.stream})
		default:
			h.tell(topic{event.id, event.kind, 0})
		}
	}
}

// armEvents lets the dispatcher be woken by the next event, or by those that are there. Called with the lock held.
func (h *hub) armEvents() {
	if !h.armed && h.exits != nil {
		h.armed = h.control(syscall.EPOLL_CTL_MOD, h.eventsFD, syscall.EPOLLIN|epollOneShot, eventsToken) == nil
	}
}

// syscall.EPOLLONESHOT: reported once, and then not before it is armed again.
const epollOneShot = 1 << 30

// need lets events be taken until one has woken the waiter. Called with the lock held.
func (h *hub) need(w *waiter) {
	if !w.needs {
		w.needs = true
		h.needs++
	}
	if h.armed {
		return
	}
	// Old events, such as that of the start, are taken here: they would wake the dispatcher at once. If there are many
	// more, they do.
	var count C.int32_t
	if C.procmgr_go_events(h.events, &h.old[0], batch, &count); count > 0 {
		h.tellEach(h.old[:count])
	}
	h.armEvents()
}

// satisfy ends that events are taken for this waiter. Called with the lock held.
func (h *hub) satisfy(w *waiter) {
	if w.needs {
		w.needs = false
		h.needs--
	}
}

// needEvents lets events be taken until one has woken the waiter.
func (h *hub) needEvents(w *waiter) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.need(w)
}

// stop lets the dispatcher end as soon as the library has closed the subscription.
func (h *hub) stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.needs++
	h.armEvents()
}

// joinExit lets the waiter be woken by the exit of the process, if its pidfd is registered.
func (h *hub) joinExit(id *C.mgr_id, w *waiter) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if w.exit == nil {
		e := h.exits[*id]
		if e == nil {
			return false
		}
		w.exit = e
		e.waiters[w] = struct{}{}
	}
	return true
}

// watchExit registers a pidfd, and lets the waiter be woken by the exit of its process. It closes the pidfd after that, or
// at once if it is not registered; then the result is false.
func (h *hub) watchExit(id *C.mgr_id, w *waiter, fd int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e := h.exits[*id]; e != nil {
		// Another waiter was faster.
		syscall.Close(fd)
		w.exit = e
		e.waiters[w] = struct{}{}
		return true
	}
	if h.exits == nil || len(h.exits) >= h.maxExits {
		syscall.Close(fd)
		return false
	}
	h.token++
	e := &exit{id: *id, token: h.token, fd: fd, waiters: map[*waiter]struct{}{w: {}}}
	if h.control(syscall.EPOLL_CTL_ADD, fd, syscall.EPOLLIN|epollOneShot, e.token) != nil {
		syscall.Close(fd)
		return false
	}
	h.exits[*id], h.byToken[e.token] = e, e
	w.exit = e
	return true
}

// forget closes a pidfd. Called with the lock held.
func (h *hub) forget(e *exit) {
	delete(h.exits, e.id)
	delete(h.byToken, e.token)
	// A process that the host is just starting may have a copy of the descriptor, which would keep the registration.
	_ = h.control(syscall.EPOLL_CTL_DEL, e.fd, 0, e.token)
	syscall.Close(e.fd)
}

// tell wakes the waiters for an event. Called with the lock held.
func (h *hub) tell(t topic) {
	for w := range h.topics[t] {
		w.told = true
		h.satisfy(w)
		w.wake()
	}
}

// wakeAll lets every waiter look, after events were lost. Called with the lock held.
func (h *hub) wakeAll() {
	for _, waiters := range h.topics {
		for w := range waiters {
			h.satisfy(w)
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
	h.satisfy(w)
	if e := w.exit; e != nil && h.exits != nil {
		delete(e.waiters, w)
		// It is kept for the next waiter, such as the next read, while there is room.
		if len(e.waiters) == 0 && len(h.exits) > h.maxExits/2 {
			h.forget(e)
		}
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

// hasExited says whether the kernel has reported the exit that the waiter waits for.
func (h *hub) hasExited(w *waiter) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return w.exited
}

// arm asks the library for an event when there is something to read at or after the cursor. The library has one cursor for
// each stream, so that is the lowest one of all waiters.
func (h *hub) arm(manager C.mgr_t, t topic, w *waiter, cursor uint64) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.need(w)
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
		// The dispatcher has released the subscription: the waiters see that, and look again.
		return nil
	}
	return failure("watch", idText(&t.id), code, cause)
}

// ended says whether there will be no more wake-ups.
func (h *hub) ended() bool {
	select {
	case <-h.done:
		return true
	default:
		return false
	}
}

// await calls look until it says that it is done: after each wake-up, and a last time when there will be no more.
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
