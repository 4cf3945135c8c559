package procmgr

// #include <procmgr.h>
import "C"

import (
	"strconv"
	"strings"
	"syscall"
)

// A Code is the kind of an error. Compare with [errors.Is]:
//
//	if errors.Is(err, procmgr.ErrNotFound) { … }
type Code int32

// The kinds of errors.
const (
	ErrInvalid     Code = C.MGR_ERR_INVALID     // an argument is not acceptable
	ErrHandle      Code = C.MGR_ERR_HANDLE      // a defect of this package: the manager was released too early
	ErrClosed      Code = C.MGR_ERR_CLOSED      // the manager or scope is closed
	ErrNotFound    Code = C.MGR_ERR_NOT_FOUND   // no such process here
	ErrNotRunning  Code = C.MGR_ERR_NOT_RUNNING // the process has ended and nothing of it is left
	ErrSpawn       Code = C.MGR_ERR_SPAWN       // the command could not be started
	ErrLimit       Code = C.MGR_ERR_LIMIT       // a configured limit is reached
	ErrConflict    Code = C.MGR_ERR_CONFLICT    // the key belongs to a different request
	ErrCanceled    Code = C.MGR_ERR_CANCELED    // the key was canceled before it started
	ErrExpired     Code = C.MGR_ERR_EXPIRED     // the process is known and its output is gone
	ErrIO          Code = C.MGR_ERR_IO          // the operating system refused
	ErrForked      Code = C.MGR_ERR_FORKED      // called in a forked copy of the host
	ErrUnsupported Code = C.MGR_ERR_UNSUPPORTED // not on this platform
	ErrPanic       Code = C.MGR_ERR_PANIC       // a defect in the library; the manager stays usable
)

// Error gives the meaning of the code in one line.
func (c Code) Error() string {
	return C.GoString(C.mgr_strerror(C.int32_t(c)))
}

// A Step is a part of a start.
type Step int32

// The steps of a start, in the order in which they are taken.
const (
	StepNone      Step = C.MGR_STEP_NONE      // no step of a start failed
	StepThread    Step = C.MGR_STEP_THREAD    // getting the threads of the process
	StepPipe      Step = C.MGR_STEP_PIPE      // making the pipes
	StepProcess   Step = C.MGR_STEP_PROCESS   // making the process
	StepDirectory Step = C.MGR_STEP_DIRECTORY // entering the working directory
	StepExecute   Step = C.MGR_STEP_EXECUTE   // executing the program
)

// String gives the step's name, in one lower-case word.
func (s Step) String() string {
	switch s {
	case StepNone:
		return "none"
	case StepThread:
		return "thread"
	case StepPipe:
		return "pipe"
	case StepProcess:
		return "process"
	case StepDirectory:
		return "directory"
	case StepExecute:
		return "execute"
	}
	return "step " + strconv.Itoa(int(s))
}

// An Error is why a call did not do what it was asked to. Get at it with [errors.As].
//
// [errors.Is] finds its Code and, where the operating system had a part in it, its Errno and what that stands for, such
// as [io/fs.ErrNotExist].
type Error struct {
	Op      string        // what was tried, such as "start"
	ID      string        // the process that it was tried on; may be empty
	Code    Code          // the kind
	Step    Step          // the step of a start that failed
	Errno   syscall.Errno // the operating system's error, or 0
	Message string        // what went wrong, in one line that is meant to be shown
}

// Error gives the message, and before it what was tried on which process.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("procmgr: ")
	b.WriteString(e.Op)
	if e.ID != "" {
		b.WriteString(" ")
		b.WriteString(e.ID)
	}
	b.WriteString(": ")
	b.WriteString(e.Message)
	return b.String()
}

// Unwrap gives the Code and, if there is one, the Errno.
func (e *Error) Unwrap() []error {
	if e.Errno == 0 {
		return []error{e.Code}
	}
	return []error{e.Code, e.Errno}
}

// failure makes the error of a call from what it returned. cause is the errno that cgo reports, which means nothing after
// a success.
func failure(op, id string, code C.int32_t, cause error) error {
	if code >= 0 {
		return nil
	}
	e := &Error{Op: op, ID: id, Code: Code(code)}
	e.Message = e.Code.Error()
	if errno, ok := cause.(syscall.Errno); ok && errno != 0 {
		e.Errno = errno
		e.Message += ": " + errno.Error()
	}
	return e
}

// invalid is the error for an argument that does not get as far as the library.
func invalid(op, message string) error {
	return &Error{Op: op, Code: ErrInvalid, Message: message}
}

// startFailure makes the error of a start from what the library says about it.
func startFailure(code C.int32_t, why *C.mgr_error) error {
	return &Error{
		Op:      "start",
		Code:    Code(code),
		Step:    Step(why.step),
		Errno:   syscall.Errno(why.os_error),
		Message: C.GoString(&why.message[0]),
	}
}
