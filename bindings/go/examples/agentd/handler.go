package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sort"
	"strings"
	"syscall"

	"procmgr"
)

// The header that names the chat on whose behalf a request is made. With it, only the processes of that chat exist.
const chatHeader = "Coder-Chat-Id"

// The header that makes a start idempotent.
const keyHeader = "Idempotency-Key"

// The longest body of a request: more than one command and its variables can have.
const maxBody = 1 << 20

// A handler serves the routes:
//
//	POST /start             starts a command
//	GET  /list              lists the processes
//	GET  /{id}/output       gives the output of one; with ?wait=true once it has ended
//	POST /{id}/signal       sends kill, terminate, … to one
//	POST /cancel            makes sure that what was started with a key, or will be, runs no more
//
// A start with the header Idempotency-Key can be retried: with one key one command is started, however often it is asked
// for, and every equal request is answered with its id.
//
// Bodies are JSON. Errors are {"message": …}: 400 for bad input, 404 for a process that is unknown or another chat's, 409
// for one that is not running, and for a key that belongs to another request or was canceled, 410 for a key whose output is
// gone.
type handler struct {
	manager *procmgr.Manager
}

type startRequest struct {
	Command    string            `json:"command"`
	WorkDir    string            `json:"workdir,omitempty"`
	Env        map[string]string `json:"env,omitempty"`
	Background bool              `json:"background,omitempty"`
}

type startResponse struct {
	ID       string `json:"id"`
	Started  bool   `json:"started"`
	Attached bool   `json:"attached,omitempty"` // an earlier request has started it
}

type cancelRequest struct {
	Key string `json:"key"`
}

type cancelResponse struct {
	ID       string `json:"id,omitempty"`
	Started  bool   `json:"started"` // false: it never was, and never will be
	Canceled bool   `json:"canceled"`
	ExitCode *int   `json:"exit_code,omitempty"`
}

type listResponse struct {
	Processes []processInfo `json:"processes"`
}

type processInfo struct {
	ID         string `json:"id"`
	Command    string `json:"command"`
	WorkDir    string `json:"workdir,omitempty"`
	Background bool   `json:"background"`
	Running    bool   `json:"running"`
	ExitCode   *int   `json:"exit_code,omitempty"`
	StartedAt  int64  `json:"started_at_unix"`
	ExitedAt   *int64 `json:"exited_at_unix,omitempty"`
}

type outputResponse struct {
	Output    string      `json:"output"`
	Truncated *truncation `json:"truncated,omitempty"`
	Running   bool        `json:"running"`
	ExitCode  *int        `json:"exit_code,omitempty"`
}

type truncation struct {
	OriginalBytes uint64 `json:"original_bytes"`
	RetainedBytes uint64 `json:"retained_bytes"`
	OmittedBytes  uint64 `json:"omitted_bytes"`
	Strategy      string `json:"strategy"`
}

type signalRequest struct {
	Signal string `json:"signal"`
}

type messageResponse struct {
	Message string `json:"message"`
}

var signals = map[string]syscall.Signal{
	"kill":      syscall.SIGKILL,
	"terminate": syscall.SIGTERM,
	"interrupt": syscall.SIGINT,
	"hangup":    syscall.SIGHUP,
	"quit":      syscall.SIGQUIT,
	"stop":      syscall.SIGSTOP,
	"continue":  syscall.SIGCONT,
	"user1":     syscall.SIGUSR1,
	"user2":     syscall.SIGUSR2,
}

// A badRequest is an error that is the client's.
type badRequest string

func (b badRequest) Error() string { return string(b) }

func (h handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	first, second, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	var (
		method string
		serve  func(*procmgr.Manager, *http.Request) (any, error)
	)
	switch {
	case second == "" && first == "start":
		method, serve = http.MethodPost, start
	case second == "" && first == "list":
		method, serve = http.MethodGet, list
	case second == "" && first == "cancel":
		method, serve = http.MethodPost, cancel
	case second == "output":
		method, serve = http.MethodGet, func(m *procmgr.Manager, r *http.Request) (any, error) { return output(m, r, first) }
	case second == "signal":
		method, serve = http.MethodPost, func(m *procmgr.Manager, r *http.Request) (any, error) { return sendSignal(m, r, first) }
	default:
		reply(w, http.StatusNotFound, messageResponse{"no such route"})
		return
	}
	if r.Method != method {
		w.Header().Set("Allow", method)
		reply(w, http.StatusMethodNotAllowed, messageResponse{"the method is " + method})
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	answer, err := h.serve(r, serve)
	if err != nil {
		reply(w, statusOf(err), messageResponse{err.Error()})
		return
	}
	reply(w, http.StatusOK, answer)
}

// serve serves a request on behalf of its chat.
func (h handler) serve(r *http.Request, serve func(*procmgr.Manager, *http.Request) (any, error)) (any, error) {
	manager := h.manager
	if chat := r.Header.Get(chatHeader); chat != "" {
		var err error
		if manager, err = manager.Scope(chat); err != nil {
			return nil, err
		}
	}
	return serve(manager, r)
}

func start(m *procmgr.Manager, r *http.Request) (any, error) {
	var body startRequest
	if err := read(r, &body); err != nil {
		return nil, err
	}
	request := procmgr.Request{
		Command:    body.Command,
		Dir:        body.WorkDir,
		Background: body.Background,
		Key:        r.Header.Get(keyHeader),
	}
	for name, value := range body.Env {
		if strings.Contains(name, "=") {
			return nil, badRequest(fmt.Sprintf("the name %q of a variable has an equals sign", name))
		}
		request.Env = append(request.Env, name+"="+value)
	}
	sort.Strings(request.Env)
	process, err := m.Start(r.Context(), request)
	if err != nil {
		return nil, err
	}
	return startResponse{process.ID(), true, process.Attached()}, nil
}

func cancel(m *procmgr.Manager, r *http.Request) (any, error) {
	var body cancelRequest
	if err := read(r, &body); err != nil {
		return nil, err
	}
	result, err := m.Cancel(r.Context(), body.Key)
	if err != nil {
		return nil, err
	}
	if !result.Started {
		return cancelResponse{Canceled: true}, nil
	}
	status := result.Status
	return cancelResponse{status.ID, true, status.EndedBy == procmgr.ByCancel, exitCode(status)}, nil
}

func list(m *procmgr.Manager, _ *http.Request) (any, error) {
	processes, _, err := m.List(-1)
	if err != nil {
		return nil, err
	}
	answer := listResponse{make([]processInfo, 0, len(processes))}
	for _, status := range processes {
		info, err := describe(m, status)
		if errors.Is(err, procmgr.ErrNotFound) {
			continue // It was dropped meanwhile.
		}
		if err != nil {
			return nil, err
		}
		answer.Processes = append(answer.Processes, info)
	}
	return answer, nil
}

func describe(m *procmgr.Manager, status procmgr.Status) (info processInfo, err error) {
	process, err := m.Get(status.ID)
	if err != nil {
		return info, err
	}
	info = processInfo{
		ID:         status.ID,
		Background: status.Background,
		Running:    status.Running(),
		ExitCode:   exitCode(status),
		StartedAt:  status.StartedAt.Unix(),
	}
	if !status.Running() {
		exited := status.EndedAt.Unix()
		info.ExitedAt = &exited
	}
	if info.Command, err = process.Command(); err != nil {
		return info, err
	}
	info.WorkDir, err = process.Dir()
	return info, err
}

func output(m *procmgr.Manager, r *http.Request, id string) (any, error) {
	process, err := m.Get(id)
	if err != nil {
		return nil, err
	}
	var status procmgr.Status
	switch r.URL.Query().Get("wait") {
	case "true":
		status, err = process.Wait(r.Context())
	case "", "false":
		// Before the output, so that what has ended has all of it.
		status, err = process.Status()
	default:
		err = badRequest("wait is true or false")
	}
	if err != nil {
		return nil, err
	}
	text, err := process.Output(procmgr.Stdout)
	if err != nil {
		return nil, err
	}
	answer := outputResponse{Output: text.Text, Running: status.Running(), ExitCode: exitCode(status)}
	if t := text.Truncation; t != nil {
		answer.Truncated = &truncation{t.OriginalBytes, t.RetainedBytes, t.OmittedBytes, t.Strategy}
	}
	return answer, nil
}

func sendSignal(m *procmgr.Manager, r *http.Request, id string) (any, error) {
	var body signalRequest
	if err := read(r, &body); err != nil {
		return nil, err
	}
	number, known := signals[body.Signal]
	if !known {
		return nil, badRequest(fmt.Sprintf("there is no signal %q", body.Signal))
	}
	process, err := m.Get(id)
	if err != nil {
		return nil, err
	}
	if err := process.Signal(number); err != nil {
		return nil, err
	}
	return messageResponse{fmt.Sprintf("sent %s to process %s", body.Signal, id)}, nil
}

// exitCode gives the code of a process that has ended, which is -1 if a signal ended it.
func exitCode(status procmgr.Status) *int {
	if status.Running() {
		return nil
	}
	return &status.ExitCode
}

// read reads the body of a request, which is one JSON value.
func read(r *http.Request, to any) error {
	decoder := json.NewDecoder(r.Body)
	if err := decoder.Decode(to); err != nil {
		return badRequest("the body: " + err.Error())
	}
	if decoder.More() {
		return badRequest("the body: more than one value")
	}
	return nil
}

func reply(w http.ResponseWriter, code int, answer any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(code)
	// When the client has disconnected, no answer is sent.
	_ = json.NewEncoder(w).Encode(answer)
}

func statusOf(err error) int {
	var bad badRequest
	var failed *procmgr.Error
	switch {
	case errors.As(err, &bad), errors.Is(err, procmgr.ErrInvalid):
		return http.StatusBadRequest
	case errors.Is(err, procmgr.ErrNotFound):
		return http.StatusNotFound
	case errors.Is(err, procmgr.ErrNotRunning), errors.Is(err, procmgr.ErrConflict), errors.Is(err, procmgr.ErrCanceled):
		return http.StatusConflict
	case errors.Is(err, procmgr.ErrExpired):
		return http.StatusGone
	case errors.As(err, &failed) && failed.Step == procmgr.StepDirectory:
		return http.StatusBadRequest // The only name in the request that the system looks up before the shell does.
	case errors.Is(err, procmgr.ErrLimit), errors.Is(err, procmgr.ErrClosed),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}
