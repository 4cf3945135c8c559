// What a manager does: starting, finding, owners, limits, errors, closing.

package procmgr

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestConfig(t *testing.T) {
	dir, err := os.MkdirTemp("", "procmgr")
	check(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	m := open(t, Config{
		Shell:         "/bin/sh",
		Dir:           dir,
		Env:           []string{"PATH=" + os.Getenv("PATH"), "A=1", "A=2", "B=1=1"},
		OwnerVariable: "OWNER",
		HeadBytes:     -1,
		TailBytes:     5,
		MaxProcesses:  100,
		MaxEnded:      100,
		KeepEnded:     -1,
		StopGrace:     time.Millisecond,
		CloseGrace:    time.Millisecond,
	})
	p := start(t, m, Request{
		Command: `test "$A$B$C$OWNER$HOME" = 21=1cme && test "$(pwd -P)" = "$(cd "$0"; pwd -P)"`,
		Args:    []string{dir},
		Env:     []string{"C=c"},
		Owner:   "me",
	})
	if s := wait(t, p); s.ExitCode != 0 {
		t.Error(s)
	}
	p = run(t, m, "printf 0123456789")
	wait(t, p)
	if text := text(t, p); !strings.HasSuffix(text, "56789") || strings.Contains(text, "4") {
		t.Errorf("%q", text)
	}
	p = start(t, m, Request{Command: "trap '' TERM; echo ready; sleep 600", TimeLimit: 50 * time.Millisecond})
	if s := wait(t, p); s.EndedBy != ByLimit || s.Signal != syscall.SIGKILL {
		t.Errorf("%+v", s)
	}
}

func TestMaxProcesses(t *testing.T) {
	m := open(t, Config{MaxProcesses: 2})
	for i := 0; i < 2; i++ {
		run(t, m, "exec sleep 600")
	}
	_, err := m.Start(limited(t), Request{Command: "exec sleep 600"})
	wants(t, err, ErrLimit)
	if !strings.Contains(err.Error(), "max_processes") {
		t.Errorf("%v does not name the limit", err)
	}
}

func TestConfigRefused(t *testing.T) {
	for _, config := range []Config{
		{Shell: "a\x00b"},
		{Dir: "a\x00b"},
		{Env: []string{"A"}},
		{Env: []string{"=1"}},
		{Env: []string{"A=\x00"}},
		{OwnerVariable: "a=b"},
		{HeadBytes: 2 << 30},
		{TailBytes: -1},
		{MaxProcesses: -1},
	} {
		m, err := Open(config)
		wants(t, err, ErrInvalid)
		if m != nil {
			t.Errorf("%+v was taken", config)
		}
	}
}

func TestRequest(t *testing.T) {
	m := open(t, Config{})
	p := start(t, m, Request{
		Program:    "printf",
		Args:       []string{`%s,%s\n`, "a b", ""},
		Dir:        "/",
		Background: true,
		TimeLimit:  time.Hour,
	})
	if s := wait(t, p); s.ExitCode != 0 || !s.Background {
		t.Errorf("%+v", s)
	}
	if text := text(t, p); text != "a b,\n" {
		t.Errorf("%q", text)
	}
	if command, err := p.Command(); err != nil || command != `printf %s,%s\n a b ` {
		t.Errorf("%q, %v", command, err)
	}
	if dir, err := p.Dir(); err != nil || dir != "/" {
		t.Errorf("%q, %v", dir, err)
	}
	if owner, err := p.Owner(); err != nil || owner != "" {
		t.Errorf("%q, %v", owner, err)
	}
	long := strings.Repeat("x", 100_000)
	p = start(t, m, Request{Command: ": " + long})
	if command, err := p.Command(); err != nil || command != ": "+long {
		t.Errorf("%d bytes, %v", len(command), err)
	}
	p = start(t, m, Request{Command: "exec sleep 600", TimeLimit: time.Nanosecond})
	if s := wait(t, p); s.EndedBy != ByLimit || s.Signal != syscall.SIGTERM {
		t.Errorf("%+v", s)
	}
}

func TestRequestRefused(t *testing.T) {
	m := open(t, Config{})
	for names, request := range map[string]Request{
		"command":    {},
		"NUL byte":   {Command: "echo a\x00b"},
		"both":       {Command: "a", Program: "b"},
		"argument":   {Program: "echo", Args: []string{"a\x00"}},
		"equals":     {Command: "echo", Env: []string{"A"}},
		"name":       {Command: "echo", Env: []string{"=1"}},
		"owner":      {Command: "echo", Owner: "\x00"},
		"directory":  {Command: "echo", Dir: "\x00"},
		"time limit": {Command: "echo", TimeLimit: -1},
		"131072":     {Program: "echo", Args: []string{strings.Repeat("x", 131_072)}},
	} {
		_, err := m.Start(limited(t), request)
		wants(t, err, ErrInvalid)
		if err == nil || !strings.Contains(err.Error(), names) {
			t.Errorf("%v does not name the offender, %s", err, names)
		}
	}
	if _, total, err := m.List(0); total != 0 || err != nil {
		t.Errorf("%d processes, %v", total, err)
	}
}

func TestFailedStart(t *testing.T) {
	m := open(t, Config{})
	for _, test := range []struct {
		request Request
		step    Step
		errno   syscall.Errno
		is      error
	}{
		{Request{Command: "echo", Dir: "/no/such"}, StepDirectory, syscall.ENOENT, fs.ErrNotExist},
		{Request{Program: "/no/such/program"}, StepExecute, syscall.ENOENT, fs.ErrNotExist},
		{Request{Program: "/dev/null"}, StepExecute, syscall.EACCES, fs.ErrPermission},
	} {
		_, err := m.Start(limited(t), test.request)
		wants(t, err, ErrSpawn)
		wants(t, err, test.errno)
		wants(t, err, test.is)
		var failed *Error
		if !errors.As(err, &failed) || failed.Step != test.step || failed.Op != "start" || failed.Code != ErrSpawn {
			t.Errorf("%+v", failed)
		}
		var errno syscall.Errno
		if !errors.As(err, &errno) || errno != test.errno {
			t.Errorf("errno %d of %v", errno, err)
		}
		if name := test.request.Dir + test.request.Program; !strings.Contains(err.Error(), name) {
			t.Errorf("%v does not name %s", err, name)
		}
	}
}

func TestStartWithoutTime(t *testing.T) {
	m := open(t, Config{})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	p, err := m.Start(ctx, Request{Command: "echo"})
	wants(t, err, context.Canceled)
	if p != nil {
		t.Error("it was started")
	}
	// One that is canceled anywhere on its way leaves nothing that runs.
	for i := 0; i < 50; i++ {
		ctx, cancel := context.WithCancel(context.Background())
		go cancel()
		if p, err := m.Start(ctx, Request{Command: "exec sleep 600"}); err == nil {
			check(t, p.Signal(os.Kill))
		} else {
			wants(t, err, context.Canceled)
		}
	}
	until(t, "all have ended", func() bool {
		list, _, err := m.List(1)
		check(t, err)
		return len(list) == 0 || !list[0].Running()
	})
}

func TestListAndGet(t *testing.T) {
	m := open(t, Config{})
	ended := run(t, m, "exit 5")
	wait(t, ended)
	older, newer := run(t, m, "exec sleep 600"), run(t, m, "exec sleep 600")
	list, total, err := m.List(-1)
	check(t, err)
	if total != 3 || len(list) != 3 || list[0].ID != newer.ID() || list[1].ID != older.ID() || list[2].ID != ended.ID() {
		t.Errorf("%d: %+v", total, list)
	}
	if !list[0].EndedAt.IsZero() || list[2].ExitCode != 5 {
		t.Errorf("%+v", list)
	}
	list, total, err = m.List(1)
	if err != nil || total != 3 || len(list) != 1 || list[0].ID != newer.ID() {
		t.Errorf("%d: %+v, %v", total, list, err)
	}
	list, total, err = m.List(0)
	if err != nil || total != 3 || len(list) != 0 {
		t.Errorf("%d: %+v, %v", total, list, err)
	}
	found, err := m.Get(ended.ID())
	check(t, err)
	if s, err := found.Status(); err != nil || s.ExitCode != 5 || found.ID() != ended.ID() {
		t.Errorf("%+v, %v", s, err)
	}
	for _, id := range []string{"", "x", "\x00", strings.Repeat("0", 36), strings.Repeat("0", 1000), ended.ID() + "\x00", ended.ID() + "0"} {
		_, err := m.Get(id)
		wants(t, err, ErrNotFound)
	}
}

func TestScopes(t *testing.T) {
	m := open(t, Config{})
	mine, err := m.Scope("me")
	check(t, err)
	yours, err := m.Scope("you")
	check(t, err)
	p := run(t, mine, "exec sleep 600")
	other := run(t, yours, "exec sleep 600")
	if owner, err := p.Owner(); owner != "me" || err != nil {
		t.Errorf("%q, %v", owner, err)
	}
	_, err = yours.Get(p.ID())
	wants(t, err, ErrNotFound)
	for scope, want := range map[*Manager]int{mine: 1, yours: 1, m: 2} {
		if _, total, err := scope.List(-1); total != want || err != nil {
			t.Errorf("%d, %v", total, err)
		}
	}
	_, err = m.Scope("")
	wants(t, err, ErrInvalid)
	_, err = m.Scope("a\x00")
	wants(t, err, ErrInvalid)
	_, err = mine.Scope("you")
	wants(t, err, ErrInvalid)
	_, err = mine.Start(limited(t), Request{Command: "echo", Owner: "you"})
	wants(t, err, ErrInvalid)

	ended := make(chan Status, 1)
	go func() { ended <- wait(t, p) }()
	until(t, "it waits", func() bool { return m.waiting() == 1 })
	check(t, mine.Close())
	if s := <-ended; s.EndedBy != ByClose {
		t.Errorf("%+v", s)
	}
	_, err = mine.Start(limited(t), Request{Command: "echo"})
	wants(t, err, ErrClosed)
	if s, err := other.Status(); err != nil || !s.Running() {
		t.Errorf("%+v, %v", s, err)
	}
	wait(t, run(t, m, "true"))
}

func TestClose(t *testing.T) {
	before := runtime.NumGoroutine()
	m := open(t, Config{})
	p := run(t, m, "echo ready; exec sleep 600")
	f := p.Follow(context.Background(), Stdout)
	readLine(t, f)
	ended, followed := make(chan error), make(chan error)
	go func() {
		s, err := p.Wait(context.Background())
		if err == nil && (s.EndedBy != ByClose || s.Signal != syscall.SIGKILL) {
			err = errors.New(s.String())
		}
		ended <- err
	}()
	go func() {
		rest, err := io.ReadAll(f)
		if err == nil && len(rest) != 0 {
			err = errors.New(string(rest))
		}
		followed <- err
	}()
	until(t, "both wait", func() bool { return m.waiting() == 2 })
	check(t, m.Close())
	check(t, <-ended)
	check(t, <-followed)
	check(t, m.Close())

	_, err := m.Start(limited(t), Request{Command: "echo"})
	wants(t, err, ErrClosed)
	_, err = m.Scope("me")
	wants(t, err, ErrClosed)
	// What ended can still be looked at.
	if text := text(t, p); text != "ready\n" {
		t.Errorf("%q", text)
	}
	if s, err := p.Stop(limited(t), patience); err != nil || s.EndedBy != ByClose {
		t.Errorf("%+v, %v", s, err)
	}
	if s := wait(t, p); s.EndedBy != ByClose {
		t.Errorf("%+v", s)
	}
	all, err := io.ReadAll(p.Follow(limited(t), Stdout).ThroughSurvivors())
	if string(all) != "ready\n" || err != nil {
		t.Errorf("%q, %v", all, err)
	}
	until(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before })
}

func TestForgottenManager(t *testing.T) {
	pid := func() int {
		m, err := Open(Config{})
		check(t, err)
		scope, err := m.Scope("me")
		check(t, err)
		s, err := run(t, scope, "exec sleep 600").Status()
		check(t, err)
		return s.PID
	}()
	until(t, "its process is ended", func() bool {
		runtime.GC()
		return syscall.Kill(pid, 0) == syscall.ESRCH
	})
}

func TestVersion(t *testing.T) {
	if version := Version(); strings.Count(version, ".") != 2 {
		t.Errorf("%q", version)
	}
}
