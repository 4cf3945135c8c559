package procmgr

/*
#include <procmgr.h>
#include <string.h>

// What a request consists of. The texts follow each other in one block, each with a NUL at its end: the program or the
// command, the arguments, name and value of each variable, then the directory, the owner and the id where the request has
// them.
typedef struct {
	size_t arguments, variables, key_length;
	int64_t time_limit_ms;
	int32_t is_program, has_directory, has_owner, has_id, background, separate_streams, lossless;
} procmgr_go_request;

// What a start came to.
typedef struct {
	mgr_id id;
	// The code of a part of the request that was refused, or MGR_OK.
	int32_t refused;
	mgr_error error;
} procmgr_go_started;

// Gives a text and moves on to the next one.
static const char *procmgr_go_text(const char **texts)
{
	const char *text = *texts;
	*texts += strlen(text) + 1;
	return text;
}

static int32_t procmgr_go_describe(const procmgr_go_request *from, const char *texts, const void *key,
	mgr_request_t request)
{
	size_t i;
	int32_t code = MGR_OK;
	for (i = 0; i < from->arguments && code == MGR_OK; i++)
		code = mgr_request_argument(request, procmgr_go_text(&texts));
	for (i = 0; i < from->variables && code == MGR_OK; i++) {
		const char *name = procmgr_go_text(&texts);
		code = mgr_request_variable(request, name, procmgr_go_text(&texts));
	}
	if (code == MGR_OK && from->has_directory)
		code = mgr_request_directory(request, procmgr_go_text(&texts));
	if (code == MGR_OK && from->has_owner)
		code = mgr_request_owner(request, procmgr_go_text(&texts));
	if (code == MGR_OK && from->has_id)
		code = mgr_request_id(request, procmgr_go_text(&texts));
	if (code == MGR_OK && from->time_limit_ms > 0)
		code = mgr_request_time_limit_ms(request, from->time_limit_ms);
	if (code == MGR_OK && from->key_length > 0)
		code = mgr_request_key(request, key, from->key_length);
	if (code == MGR_OK && from->background)
		code = mgr_request_background(request, 1);
	if (code == MGR_OK && from->separate_streams)
		code = mgr_request_separate_streams(request, 1);
	if (code == MGR_OK && from->lossless)
		code = mgr_request_lossless(request, 1);
	return code;
}

// Makes a request and starts it: all in one call from Go.
static int32_t procmgr_go_start(mgr_t manager, const procmgr_go_request *from, const char *texts, const void *key,
	procmgr_go_started *started)
{
	mgr_request_t request;
	const char *first = procmgr_go_text(&texts);
	int32_t code = from->is_program ? mgr_request_new_program(first, &request) : mgr_request_new(first, &request);
	started->refused = code;
	if (code != MGR_OK)
		return code;
	code = procmgr_go_describe(from, texts, key, request);
	started->refused = code;
	started->error.struct_size = sizeof started->error;
	if (code == MGR_OK)
		code = mgr_start(manager, request, &started->id, &started->error);
	mgr_request_free(request);
	return code;
}
*/
import "C"

import (
	"strings"
	"time"
	"unsafe"
)

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

	// Background marks the process as one that is not waited for. It is reported, and changes nothing else.
	Background bool

	// TimeLimit ends the process after this time: TERM, the manager's grace period, KILL. Default: no limit.
	TimeLimit time.Duration

	// SeparateStreams keeps standard error apart, as a stream of its own. The order between the two is lost.
	SeparateStreams bool

	// Lossless keeps every byte until a read has returned it: when all that is kept is unread, the process waits in its
	// next write, as on an ordinary pipe. For a process that is followed to its end. If several callers read the stream,
	// bytes before the highest cursor of any of them may be dropped.
	Lossless bool

	// Key makes the start idempotent: however often it is asked for with this key, one process is started, and every start
	// with an equal request gives it ([Process.Attached]). 1 to 255 bytes of any kind; keys of different owners are
	// different keys. Default: none.
	Key string

	// ID is the UUID that the process shall have, instead of a random one. One that is known already is ErrConflict, unless
	// key and request are the same.
	ID string
}

// start starts the request.
func (r *Request) start(manager C.mgr_t) (*C.procmgr_go_started, C.int32_t, error) {
	const op = "start"
	texts, err := r.texts(op)
	if err != nil {
		return nil, 0, err
	}
	from := C.procmgr_go_request{
		arguments:        C.size_t(len(r.Args)),
		variables:        C.size_t(len(r.Env)),
		key_length:       C.size_t(len(r.Key)),
		time_limit_ms:    milliseconds(r.TimeLimit),
		is_program:       number(r.Program != ""),
		has_directory:    number(r.Dir != ""),
		has_owner:        number(r.Owner != ""),
		has_id:           number(r.ID != ""),
		background:       number(r.Background),
		separate_streams: number(r.SeparateStreams),
		lossless:         number(r.Lossless),
	}
	started := new(C.procmgr_go_started)
	key, _ := lendKey(r.Key)
	code := C.procmgr_go_start(manager, &from, (*C.char)(unsafe.Pointer(unsafe.StringData(texts))), key, started)
	switch {
	case code >= 0:
		return started, code, nil
	case started.refused < 0:
		return nil, code, failure(op, "", code, nil)
	}
	return nil, code, startFailure(code, &started.error)
}

// texts gives all texts of the request, as procmgr_go_request tells.
func (r *Request) texts(op string) (string, error) {
	if r.Command != "" && r.Program != "" {
		return "", invalid(op, "invalid request: it has both a command and a program")
	}
	if r.TimeLimit < 0 {
		return "", invalid(op, "invalid time limit: it is negative")
	}
	var (
		texts  strings.Builder
		failed error
	)
	size := len(r.Program) + len(r.Command) + len(r.Dir) + len(r.Owner) + len(r.ID) + 4
	for _, argument := range r.Args {
		size += len(argument) + 1
	}
	for _, variable := range r.Env {
		size += len(variable) + 1
	}
	texts.Grow(size)
	add := func(what, text string) {
		if failed == nil {
			failed = checkText(op, what, text)
		}
		texts.WriteString(text)
		texts.WriteByte(0)
	}
	if r.Program != "" {
		add("program", r.Program)
	} else {
		// An empty command is refused by the start.
		add("command", r.Command)
	}
	for _, argument := range r.Args {
		add("argument", argument)
	}
	for _, variable := range r.Env {
		name, value, err := cutVariable(op, variable)
		if err != nil && failed == nil {
			failed = err
		}
		add("variable", name)
		texts.WriteString(value)
		texts.WriteByte(0)
	}
	if r.Dir != "" {
		add("directory", r.Dir)
	}
	if r.Owner != "" {
		add("owner", r.Owner)
	}
	if r.ID != "" {
		add("id", r.ID)
	}
	return texts.String(), failed
}
