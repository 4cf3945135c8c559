package procmgr

// #include <procmgr.h>
import "C"

import "time"

// A Request says what to start. It is only read, and can be used for any number of starts.
type Request struct {
	// Command is run by the manager's shell: SHELL -c Command.
	Command string

	// Program is run without a shell. A name without a slash is looked up in the PATH of the new process. Either Command
	// or Program is set.
	Program string

	// Args are the arguments of the program, without its name; for a command its positional parameters, the first being
	// $0.
	Args []string

	// Dir is the directory to run in. Default: the manager's, else the home directory, else the host's own.
	Dir string

	// Env are variables that are set on top of the environment, in the form NAME=value; the last of a name counts.
	Env []string

	// Owner tags the process: a chat, a tenant, a job. Default: the owner of the scope that starts it, or none.
	Owner string

	// Background marks the process as one that nobody waits for. It is reported, and changes nothing else.
	Background bool

	// TimeLimit ends the process after this time: TERM, the manager's grace period, KILL. Default: no limit.
	TimeLimit time.Duration

	// SeparateStreams keeps standard error apart, as a stream of its own. The order between the two is lost.
	SeparateStreams bool

	// Lossless lets no byte be dropped that no reader has got yet: when all that is kept is unread, the process waits in
	// its next write, as on an ordinary pipe. For a process that somebody follows to its end.
	Lossless bool

	// Key makes the start idempotent: however often it is asked for with this key, one process is started, and every start
	// with an equal request gives it ([Process.Attached]). 1 to 255 bytes of any kind; keys of different owners are
	// different keys. Default: none.
	Key string

	// ID is the UUID that the process shall have, instead of a random one. One that is known already is ErrConflict, unless
	// key and request are the same.
	ID string
}

// build makes the library's request; the caller gives it back.
func (r *Request) build() (request C.mgr_request_t, err error) {
	const op = "start"
	if r.Command != "" && r.Program != "" {
		return 0, invalid(op, "invalid request: it has both a command and a program")
	}
	if r.TimeLimit < 0 {
		return 0, invalid(op, "invalid time limit: it is negative")
	}
	if r.Program != "" {
		err = withText(op, "program", r.Program, func(program *C.char) C.int32_t {
			return C.mgr_request_new_program(program, &request)
		})
	} else {
		// An empty command is refused by the start.
		err = withText(op, "command", r.Command, func(command *C.char) C.int32_t {
			return C.mgr_request_new(command, &request)
		})
	}
	if err != nil {
		return 0, err
	}
	if err = r.describe(op, request); err != nil {
		C.mgr_request_free(request)
		return 0, err
	}
	return request, nil
}

// describe sets everything but the command.
func (r *Request) describe(op string, request C.mgr_request_t) error {
	for _, argument := range r.Args {
		err := withText(op, "argument", argument, func(argument *C.char) C.int32_t {
			return C.mgr_request_argument(request, argument)
		})
		if err != nil {
			return err
		}
	}
	for _, variable := range r.Env {
		err := withVariable(op, variable, func(name, value *C.char) C.int32_t {
			return C.mgr_request_variable(request, name, value)
		})
		if err != nil {
			return err
		}
	}
	if r.Dir != "" {
		err := withText(op, "directory", r.Dir, func(dir *C.char) C.int32_t {
			return C.mgr_request_directory(request, dir)
		})
		if err != nil {
			return err
		}
	}
	if r.Owner != "" {
		err := withText(op, "owner", r.Owner, func(owner *C.char) C.int32_t {
			return C.mgr_request_owner(request, owner)
		})
		if err != nil {
			return err
		}
	}
	if r.TimeLimit > 0 {
		if code := C.mgr_request_time_limit_ms(request, milliseconds(r.TimeLimit)); code < 0 {
			return failure(op, "", code, nil)
		}
	}
	if r.Key != "" {
		key, length := lendKey(r.Key)
		if code := C.mgr_request_key(request, key, length); code < 0 {
			return failure(op, "", code, nil)
		}
	}
	if r.ID != "" {
		err := withText(op, "id", r.ID, func(id *C.char) C.int32_t {
			return C.mgr_request_id(request, id)
		})
		if err != nil {
			return err
		}
	}
	if code := C.mgr_request_background(request, number(r.Background)); code < 0 {
		return failure(op, "", code, nil)
	}
	if code := C.mgr_request_separate_streams(request, number(r.SeparateStreams)); code < 0 {
		return failure(op, "", code, nil)
	}
	return failure(op, "", C.mgr_request_lossless(request, number(r.Lossless)), nil)
}
