package procmgr

// #include <procmgr.h>
import "C"

import (
	"fmt"
	"strconv"
	"syscall"
	"time"
)

// A State is that of a process's leader.
type State int32

// The states.
const (
	Running  State = C.MGR_RUNNING  // it has not ended
	Exited   State = C.MGR_EXITED   // it ended by itself: see ExitCode
	Signaled State = C.MGR_SIGNALED // a signal ended it: see Signal
	Lost     State = C.MGR_LOST     // it has ended and its status is lost: the host reaped it
)

// String gives the state in one lower-case word.
func (s State) String() string {
	switch s {
	case Running:
		return "running"
	case Exited:
		return "exited"
	case Signaled:
		return "signaled"
	case Lost:
		return "lost"
	}
	return "state " + strconv.Itoa(int(s))
}

// An EndedBy says what has ended a process.
type EndedBy int32

// What ends a process.
const (
	ByNobody EndedBy = C.MGR_BY_NOBODY // no request: by itself, or it has not ended
	BySignal EndedBy = C.MGR_BY_SIGNAL // [Process.Signal]
	ByStop   EndedBy = C.MGR_BY_STOP   // [Process.Stop]
	ByLimit  EndedBy = C.MGR_BY_LIMIT  // the time limit of its request
	ByCancel EndedBy = C.MGR_BY_CANCEL // a cancel of its key
	ByClose  EndedBy = C.MGR_BY_CLOSE  // [Manager.Close]
)

// String gives it in one lower-case word.
func (b EndedBy) String() string {
	switch b {
	case ByNobody:
		return "nobody"
	case BySignal:
		return "signal"
	case ByStop:
		return "stop"
	case ByLimit:
		return "limit"
	case ByCancel:
		return "cancel"
	case ByClose:
		return "close"
	}
	return "ended by " + strconv.Itoa(int(b))
}

// A Status is where a process stands.
type Status struct {
	ID          string
	PID         int            // of the leader, and the number of its group; may be another's once it has ended
	State       State          // of the leader
	ExitCode    int            // -1 unless the state is Exited
	Signal      syscall.Signal // what ended the leader; 0 unless the state is Signaled
	CoreDumped  bool           // whether it left a core dump
	EndedBy     EndedBy        // what has ended it
	Background  bool           // the request said that it is not waited for
	OutputOpen  bool           // the leader, or a process that it left behind, may still write
	StartedAt   time.Time
	EndedAt     time.Time     // zero while it runs
	Duration    time.Duration // how long it has run, or did, by a clock that is never set
	OutputBytes uint64        // so far, all streams together, kept or not
	UserTime    time.Duration // CPU time of the leader and the children it waited for; 0 while it runs
	SystemTime  time.Duration // the same in the kernel
	MaxRSSKiB   uint64        // peak resident memory of the leader, or of the largest child it waited for
}

// Running says whether the leader has not ended.
func (s Status) Running() bool {
	return s.State == Running
}

// String says it in a few words, such as "exited with code 3".
func (s Status) String() string {
	switch s.State {
	case Exited:
		return fmt.Sprintf("exited with code %d", s.ExitCode)
	case Signaled:
		return fmt.Sprintf("killed by signal %d (%v)", int(s.Signal), s.Signal)
	}
	return s.State.String()
}

func toStatus(p *C.mgr_process) Status {
	status := Status{
		ID:          idText(&p.id),
		PID:         int(p.pid),
		State:       State(p.state),
		ExitCode:    int(p.exit_code),
		Signal:      syscall.Signal(p.signal),
		CoreDumped:  p.core_dumped != 0,
		EndedBy:     EndedBy(p.ended_by),
		Background:  p.background != 0,
		OutputOpen:  p.output_open != 0,
		StartedAt:   time.UnixMilli(int64(p.started_at_ms)),
		Duration:    time.Duration(p.duration_us) * time.Microsecond,
		OutputBytes: uint64(p.output_bytes),
		UserTime:    time.Duration(p.user_us) * time.Microsecond,
		SystemTime:  time.Duration(p.system_us) * time.Microsecond,
		MaxRSSKiB:   uint64(p.max_rss_kib),
	}
	if p.ended_at_ms != 0 {
		status.EndedAt = time.UnixMilli(int64(p.ended_at_ms))
	}
	return status
}
