package procmgr

// #include <procmgr.h>
import "C"

import (
	"context"
	"os"
	"syscall"
	"time"
)

// DefaultStopGrace is the time between TERM and KILL that [Process.Stop] is usually called with.
const DefaultStopGrace = C.MGR_STOP_GRACE_MS * time.Millisecond

// A Process is one that was started. It stays known to its manager for a time after its end, see [Config], and every
// method answers ErrNotFound after that.
//
// All its methods may be called by any number of goroutines at any time.
type Process struct {
	manager  *Manager
	id       C.mgr_id
	attached bool
}

// ID gives its id: a UUID of 36 characters.
func (p *Process) ID() string {
	return idText(&p.id)
}

func (p *Process) failure(op string, code C.int32_t, cause error) error {
	if code >= 0 {
		return nil
	}
	return failure(op, p.ID(), code, cause)
}

// Status says where it stands.
func (p *Process) Status() (Status, error) {
	return p.inspect("status")
}

func (p *Process) inspect(op string) (Status, error) {
	p.manager.begin()
	defer p.manager.end()
	process := new(C.mgr_process)
	process.struct_size = C.sizeof_mgr_process
	code, cause := C.mgr_inspect(p.manager.handle, &p.id.text[0], process)
	if code < 0 {
		return Status{}, p.failure(op, code, cause)
	}
	return toStatus(process), nil
}

// Wait waits for its end: until its leader has ended and all that the leader wrote can be read, whoever else may hold its
// output. When ctx ends first, Wait returns its error, and the process goes on.
func (p *Process) Wait(ctx context.Context) (Status, error) {
	process := new(C.mgr_process)
	process.struct_size = C.sizeof_mgr_process
	ended := topic{id: p.id, kind: C.MGR_EVENT_ENDED}
	err := p.manager.hub.await(ctx, ended, func(*waiter) (bool, error) {
		p.manager.begin()
		defer p.manager.end()
		code, cause := C.mgr_wait(p.manager.handle, &p.id.text[0], 0, process)
		return code == C.MGR_OK, p.failure("wait", code, cause)
	})
	if err != nil {
		return Status{}, err
	}
	return toStatus(process), nil
}

// Signal sends a signal to its process group; once its leader has ended, to each process that it left behind. It is one
// of SIGKILL, SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGSTOP, SIGCONT, SIGUSR1 and SIGUSR2, else the error is ErrUnsupported.
//
// The error is ErrNotRunning when nothing of it is left.
func (p *Process) Signal(signal os.Signal) error {
	p.manager.begin()
	defer p.manager.end()
	number, ok := signal.(syscall.Signal)
	if !ok {
		return p.failure("signal", C.MGR_ERR_UNSUPPORTED, nil)
	}
	code, cause := C.mgr_signal(p.manager.handle, &p.id.text[0], C.int32_t(number))
	return p.failure("signal", code, cause)
}

// Stop ends it for certain: TERM to everything that it is and left behind, a grace period, KILL, and waiting until nothing
// of it is left. Without grace KILL is sent at once, with a negative one never. One that has ended, with nothing left of
// it, stays as it is; that is no error.
//
// When ctx ends first, Stop returns its error, and the stopping goes on. The error is ErrIO if the process did not end
// within 10 seconds of KILL, because it hangs in the kernel.
func (p *Process) Stop(ctx context.Context, grace time.Duration) (Status, error) {
	var (
		begun    = false
		deadline = time.Now().Add(grace)
		status   Status
		stopped  = topic{id: p.id, kind: C.MGR_EVENT_STOPPED}
		hub      = p.manager.hub
	)
	err := hub.await(ctx, stopped, func(w *waiter) (bool, error) {
		var err error
		over := hub.ended()
		if begun && hub.wasTold(w) {
			// Another stop may have been over, which is as good: nothing was left.
			over = true
		}
		if over {
			status, err = p.inspect("stop")
			if err == nil && status.Running() && begun && !hub.ended() {
				err = failure("stop", p.ID(), C.MGR_ERR_IO, syscall.ETIMEDOUT)
			}
			return !status.Running(), err
		}
		// Again when nobody knows whether it was told: what was not, would never be.
		rest := grace
		if begun && grace > 0 {
			if rest = time.Until(deadline); rest < 0 {
				rest = 0
			}
		}
		begun = true
		return false, p.beginStop(rest)
	})
	if err != nil {
		return Status{}, err
	}
	return status, nil
}

// beginStop begins what Stop does, and returns.
func (p *Process) beginStop(grace time.Duration) error {
	p.manager.begin()
	defer p.manager.end()
	code, cause := C.mgr_stop_begin(p.manager.handle, &p.id.text[0], milliseconds(grace))
	return p.failure("stop", code, cause)
}

// Command gives the command as it was asked for; a program and its arguments with spaces between them.
func (p *Process) Command() (string, error) {
	p.manager.begin()
	defer p.manager.end()
	return takeText(func(buffer *C.char, capacity C.size_t, length *C.size_t) error {
		code, cause := C.mgr_command(p.manager.handle, &p.id.text[0], buffer, capacity, length)
		return p.failure("command", code, cause)
	})
}

// Dir gives the directory that it was started in.
func (p *Process) Dir() (string, error) {
	p.manager.begin()
	defer p.manager.end()
	return takeText(func(buffer *C.char, capacity C.size_t, length *C.size_t) error {
		code, cause := C.mgr_directory(p.manager.handle, &p.id.text[0], buffer, capacity, length)
		return p.failure("directory", code, cause)
	})
}

// Owner gives its owner; an empty text if it has none.
func (p *Process) Owner() (string, error) {
	p.manager.begin()
	defer p.manager.end()
	return takeText(func(buffer *C.char, capacity C.size_t, length *C.size_t) error {
		code, cause := C.mgr_owner(p.manager.handle, &p.id.text[0], buffer, capacity, length)
		return p.failure("owner", code, cause)
	})
}
