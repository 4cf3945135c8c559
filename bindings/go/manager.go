package procmgr

// #include <procmgr.h>
import "C"

import (
	"context"
	"runtime"
)

// A Manager is a registry of processes: the whole of it, or the view of one owner (a scope).
//
// All its methods may be called by any number of goroutines at any time.
type Manager struct {
	handle C.mgr_t
	hub    *hub
	// What a scope is a view of, which must live as long as it does; nil of the whole.
	whole *Manager
}

// Open opens a manager.
//
// Close ends its processes. A manager that is not closed is so when it, its scopes and its [Process] values have become
// garbage.
func Open(config Config) (*Manager, error) {
	options, err := config.build()
	if err != nil {
		return nil, err
	}
	defer C.mgr_config_free(options)
	m := &Manager{}
	if code, cause := C.mgr_open(options, &m.handle); code < 0 {
		return nil, failure("open", "", code, cause)
	}
	m.hub, err = newHub(m.handle)
	if err != nil {
		C.mgr_release(m.handle)
		return nil, err
	}
	m.releaseWhenGarbage()
	return m, nil
}

// releaseWhenGarbage releases the handle when nothing refers to the manager any more.
func (m *Manager) releaseWhenGarbage() {
	runtime.SetFinalizer(m, func(m *Manager) {
		if m.whole == nil {
			m.hub.stop()
		}
		// This may end processes and wait for them, which a finalizer must not do.
		go C.mgr_release(m.handle)
	})
}

// begin and end stand around a call of the library that does not block.
func (m *Manager) begin() { m.hub.begin() }
func (m *Manager) end() {
	m.hub.end()
	// The handle must not be released before.
	runtime.KeepAlive(m)
}

// Scope gives a view of the manager that sees, starts and ends only the processes of one owner. A scope of a scope must be
// of the same owner.
func (m *Manager) Scope(owner string) (*Manager, error) {
	m.begin()
	defer m.end()
	scope := &Manager{hub: m.hub, whole: m}
	err := withText("scope", "owner", owner, func(owner *C.char) C.int32_t {
		return C.mgr_scope(m.handle, owner, &scope.handle)
	})
	if err != nil {
		return nil, err
	}
	scope.releaseWhenGarbage()
	return scope, nil
}

// Close refuses new starts, ends every process that the manager or scope sees, with everything that these left behind, and
// waits for that. Every call that waits for one of them returns. What ended can still be read. Closing again changes
// nothing.
//
// It fails with ErrIO if the kernel did not end a process within 10 seconds.
func (m *Manager) Close() error {
	defer runtime.KeepAlive(m)
	if m.whole == nil {
		m.hub.stop()
	}
	code, cause := C.mgr_close(m.handle)
	return failure("close", "", code, cause)
}

// Start starts what the request describes, and returns when execve has succeeded.
//
// When ctx ends before that, Start returns its error at once, and the process, if there will be one, is killed. After
// that ctx has nothing to do with the process: a time limit is set in the request.
//
// On another error nothing was started. ErrInvalid says that the request cannot be started on any system, ErrSpawn that the
// system did not start it: then [Error] has the step that failed and the Errno.
func (m *Manager) Start(ctx context.Context, request Request) (*Process, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case m.hub.starts <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if ctx.Done() == nil {
		return m.start(&request)
	}
	// The kernel takes its time where a directory or a program is on a file system that hangs.
	type result struct {
		process *Process
		err     error
	}
	started := make(chan result)
	go func() {
		process, err := m.start(&request)
		select {
		case started <- result{process, err}:
		case <-ctx.Done():
			// What has a key is found by it when the caller asks again, and may be others' too.
			if process != nil && request.Key == "" {
				process.beginStop(0)
			}
		}
	}()
	select {
	case r := <-started:
		return r.process, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// start returns the token of the start.
func (m *Manager) start(request *Request) (*Process, error) {
	defer runtime.KeepAlive(m)
	defer func() { <-m.hub.starts }()
	started, code, err := request.start(m.handle)
	if err != nil {
		return nil, err
	}
	return &Process{manager: m, id: started.id, attached: code == C.MGR_ATTACHED}, nil
}

// Get gives the process with this id, or ErrNotFound if there is none here: it is another owner's, or it has ended and
// was dropped.
func (m *Manager) Get(id string) (*Process, error) {
	process := &Process{manager: m}
	ok := false
	if process.id, ok = toID(id); !ok {
		return nil, failure("get", id, C.MGR_ERR_NOT_FOUND, nil)
	}
	if _, err := process.inspect("get"); err != nil {
		return nil, err
	}
	return process, nil
}

// List gives the processes, running ones first, newest first, at most limit of them, or all if limit is negative; and how
// many there are in all.
func (m *Manager) List(limit int) (processes []Status, total int, err error) {
	m.begin()
	defer m.end()
	var count C.size_t
	for {
		// One more than needed, since the address of the first is taken, and more may be started meanwhile.
		capacity := int(count) + 1
		if limit >= 0 && limit < capacity {
			capacity = limit
		}
		list := make([]C.mgr_process, capacity+1)
		list[0].struct_size = C.sizeof_mgr_process
		code, cause := C.mgr_list(m.handle, &list[0], C.size_t(capacity), &count)
		if code < 0 {
			return nil, 0, failure("list", "", code, cause)
		}
		if capacity != limit && int(count) > capacity {
			continue
		}
		if capacity > int(count) {
			capacity = int(count)
		}
		processes = make([]Status, capacity)
		for i := range processes {
			processes[i] = toStatus(&list[i])
		}
		return processes, int(count), nil
	}
}

// Version gives the version of the library that runs, such as "0.1.0".
func Version() string {
	return C.GoString(C.mgr_version())
}
