package procmgr

// #include <procmgr.h>
import "C"

import (
	"context"
	"unsafe"
)

// While another start of a key is under way there is no event to wait for, so a cancel of it asks again after this time.
const pendingLook = 50 // milliseconds

// Attached says whether the start that gave this process found its key started before, and started nothing.
func (p *Process) Attached() bool {
	return p.attached
}

// A CancelResult is what [Manager.Cancel] came to.
type CancelResult struct {
	// Started says whether the key has started a process. If not, it never will.
	Started bool

	// Status is how that process ended; EndedBy tells whether it was this cancel.
	Status Status
}

// Cancel makes sure that a key is not started any more: what was never started never will be, what is being started or
// runs is ended (TERM, [Config.StopGrace], KILL), what has ended stays as it is. It waits for that; when ctx ends first it
// returns its error, and the ending goes on. The owner of the key is that of the scope, none for a manager.
func (m *Manager) Cancel(ctx context.Context, key string) (CancelResult, error) {
	for wait := C.int64_t(0); ; wait = pendingLook {
		process, code, err := m.cancel(key, wait)
		if err != nil {
			return CancelResult{}, err
		}
		switch {
		case process.state == C.MGR_NEVER_STARTED:
			return CancelResult{}, nil
		case process.state == C.MGR_STARTING:
			if err := ctx.Err(); err != nil {
				return CancelResult{}, err
			}
			continue
		case code == C.MGR_OK:
			return CancelResult{true, toStatus(process)}, nil
		}
		// It is being ended.
		running := &Process{manager: m, id: process.id}
		status, err := running.Wait(ctx)
		return CancelResult{true, status}, err
	}
}

func (m *Manager) cancel(key string, timeout C.int64_t) (*C.mgr_process, C.int32_t, error) {
	m.begin()
	defer m.end()
	process := new(C.mgr_process)
	process.struct_size = C.sizeof_mgr_process
	data, length := lendKey(key)
	code, cause := C.mgr_cancel(m.handle, data, length, timeout, process)
	if code < 0 {
		return nil, code, failure("cancel", "", code, cause)
	}
	return process, code, nil
}

// Find gives the id of the process that a key has started, also when its output is gone; ErrNotFound for a key that has
// started nothing (yet).
func (m *Manager) Find(key string) (id string, err error) {
	m.begin()
	defer m.end()
	found := new(C.mgr_id)
	data, length := lendKey(key)
	code, cause := C.mgr_find(m.handle, data, length, found)
	if code < 0 {
		return "", failure("find", "", code, cause)
	}
	return idText(found), nil
}

// Forget drops an ended process and the record of its key, if it was started with one: the key is then as if it had never
// been used. ErrInvalid before its end.
func (m *Manager) Forget(id string) error {
	m.begin()
	defer m.end()
	known, ok := toID(id)
	if !ok {
		return failure("forget", id, C.MGR_ERR_NOT_FOUND, nil)
	}
	code, cause := C.mgr_forget(m.handle, &known.text[0])
	return failure("forget", id, code, cause)
}

// ForgetKey frees the record of a key that has started nothing, because its start failed or it was canceled before, or
// whose process has ended.
func (m *Manager) ForgetKey(key string) error {
	m.begin()
	defer m.end()
	data, length := lendKey(key)
	code, cause := C.mgr_forget_key(m.handle, data, length)
	return failure("forget", "", code, cause)
}

// Instance names this manager among all that ever were: by it a caller can tell "never started here" from "started by
// another instance".
func (m *Manager) Instance() (string, error) {
	m.begin()
	defer m.end()
	instance := new(C.mgr_id)
	code, cause := C.mgr_instance(m.handle, instance)
	if code < 0 {
		return "", failure("instance", "", code, cause)
	}
	return idText(instance), nil
}

// SweepOrphans ends what hosts that are gone have left behind, and gives the number of processes. It touches nothing of a
// host that lives. For a program that was killed and starts again.
func (m *Manager) SweepOrphans() (int, error) {
	m.begin()
	defer m.end()
	var count C.size_t
	code, cause := C.mgr_sweep_orphans(m.handle, &count)
	if code < 0 {
		return 0, failure("sweep", "", code, cause)
	}
	return int(count), nil
}

// lendKey gives a key as C has bytes, for one call: the text of a string holds no pointers and does not move.
func lendKey(key string) (unsafe.Pointer, C.size_t) {
	return unsafe.Pointer(unsafe.StringData(key)), C.size_t(len(key))
}
