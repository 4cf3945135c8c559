// Helpers of the tests.

package procmgr

import (
	"context"
	"errors"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// How long something may take that takes no time.
const patience = 30 * time.Second

// open gives a manager that is closed when the test is over.
func open(t testing.TB, config Config) *Manager {
	t.Helper()
	m, err := Open(config)
	check(t, err)
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// limited gives a context that ends the test when something hangs.
func limited(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func start(t testing.TB, m *Manager, request Request) *Process {
	t.Helper()
	p, err := m.Start(limited(t), request)
	check(t, err)
	return p
}

func run(t testing.TB, m *Manager, command string) *Process {
	t.Helper()
	return start(t, m, Request{Command: command})
}

func wait(t testing.TB, p *Process) Status {
	t.Helper()
	status, err := p.Wait(limited(t))
	check(t, err)
	return status
}

func text(t testing.TB, p *Process) string {
	t.Helper()
	output, err := p.Output(Stdout)
	check(t, err)
	return output.Text
}

// readLine follows a process up to the end of a line, so that the test goes on when the process has got that far.
func readLine(t testing.TB, r io.Reader) string {
	t.Helper()
	var line []byte
	for one := make([]byte, 1); ; {
		n, err := r.Read(one)
		check(t, err)
		if n == 1 && one[0] == '\n' {
			return string(line)
		}
		line = append(line, one[:n]...)
	}
}

// until polls a condition.
func until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// waiting counts the goroutines that wait for something of the manager.
func (m *Manager) waiting() int {
	m.hub.mu.Lock()
	defer m.hub.mu.Unlock()
	count := 0
	for _, waiters := range m.hub.topics {
		count += len(waiters)
	}
	return count
}

// threads counts the OS threads of this process: the library's, which have names of their own, and all others.
func threads(t testing.TB) (library, others int) {
	t.Helper()
	tasks, err := os.ReadDir("/proc/self/task")
	check(t, err)
	for _, task := range tasks {
		name, err := os.ReadFile("/proc/self/task/" + task.Name() + "/comm")
		switch {
		case err != nil: // It has left meanwhile.
		case strings.HasPrefix(string(name), "procmgr-"):
			library++
		default:
			others++
		}
	}
	return library, others
}

// wants fails unless err is of this kind.
func wants(t testing.TB, err error, kind error) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("the error is %v, not %v", err, kind)
	}
}

// collecting runs the garbage collector without pause until the test is over.
func collecting(t testing.TB) {
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				runtime.GC()
			}
		}
	}()
	t.Cleanup(func() { close(stop); <-stopped })
}
