package procmgr

/*
#include <procmgr.h>
#include <sys/syscall.h>
#include <unistd.h>

// Waits as mgr_wait does. After a timeout it opens a pidfd of the leader, which becomes readable when the leader exits, if
// fd is not NULL; fd receives it, or -1. The pid may be that of another process once the leader was reaped: so the pidfd is
// the leader's only if the process runs after it was opened.
static int32_t procmgr_go_wait(mgr_t manager, const char *id, int64_t timeout_ms, mgr_process *process, int32_t *fd)
{
	int32_t code = mgr_wait(manager, id, timeout_ms, process);
	if (fd == NULL)
		return code;
	*fd = -1;
	if (code != MGR_TIMEOUT)
		return code;
#ifdef SYS_pidfd_open
	int32_t opened = (int32_t)syscall(SYS_pidfd_open, process->pid, 0);
	if (opened < 0)
		return code;
	code = mgr_wait(manager, id, 0, process);
	if (code == MGR_TIMEOUT)
		*fd = opened;
	else
		close(opened);
#endif
	return code;
}
*/
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

// Wait waits for its end: until its leader has ended and all that the leader wrote can be read, even if other processes
// hold its output. When ctx ends first, Wait returns its error, and the process goes on.
func (p *Process) Wait(ctx context.Context) (Status, error) {
	process := new(C.mgr_process)
	process.struct_size = C.sizeof_mgr_process
	ended := topic{id: p.id, kind: C.MGR_EVENT_ENDED}
	err := p.manager.hub.await(ctx, ended, func(w *waiter) (bool, error) {
		code, cause := p.look(w, process)
		return code == C.MGR_OK, p.failure("wait", code, cause)
	})
	if err != nil {
		return Status{}, err
	}
	return toStatus(process), nil
}

// How long the library may take to record an exit that the kernel has reported, in milliseconds. It takes microseconds,
// unless a tracer of the process gets its exit first: then an event reports the end.
const recordTimeout = 10

// look says whether the process has ended. If not, the waiter is woken at its end: by the kernel, or else by an event.
func (p *Process) look(w *waiter, process *C.mgr_process) (code C.int32_t, cause error) {
	hub := p.manager.hub
	if hub.hasExited(w) {
		code, cause = p.wait(recordTimeout, process, nil)
		if code == C.MGR_TIMEOUT {
			hub.needEvents(w)
		}
		return code, cause
	}
	if hub.joinExit(&p.id, w) {
		return p.wait(0, process, nil)
	}
	fd := new(C.int32_t)
	code, cause = p.wait(0, process, fd)
	if code == C.MGR_TIMEOUT && (*fd < 0 || !hub.watchExit(&p.id, w, int(*fd))) {
		hub.needEvents(w)
	}
	return code, cause
}

// wait waits for the end. After a timeout it opens a pidfd, if fd is not nil.
func (p *Process) wait(timeout C.int64_t, process *C.mgr_process, fd *C.int32_t) (code C.int32_t, cause error) {
	// The lock of the hub is not taken before end: it is held where a call begins.
	p.manager.begin()
	defer p.manager.end()
	code, cause = C.procmgr_go_wait(p.manager.handle, &p.id.text[0], timeout, process, fd)
	return code, cause
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
		hub.needEvents(w)
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
		// Also after a wake-up without the event: events may have been dropped.
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
