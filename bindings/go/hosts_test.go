package procmgr

// A host that takes every signal for itself, as servers do, with many goroutines on several threads.

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A taker counts the signals that come to this program, all that can be caught.
type taker struct {
	mu    sync.Mutex
	taken map[os.Signal]int
}

func takeAllSignals(t *testing.T) *taker {
	before := runtime.GOMAXPROCS(4)
	taker := &taker{taken: map[os.Signal]int{}}
	signals := make(chan os.Signal, 100)
	stopped := make(chan struct{})
	signal.Notify(signals)
	go func() {
		defer close(stopped)
		for s := range signals {
			taker.mu.Lock()
			taker.taken[s]++
			taker.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		signal.Stop(signals)
		close(signals)
		<-stopped
		runtime.GOMAXPROCS(before)
	})
	return taker
}

func (k *taker) count(s os.Signal) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.taken[s]
}

// Whatever happens in a goroutine that is not the test's own.
func runsAsEverywhere(m *Manager) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	p, err := m.Start(ctx, Request{Command: "echo out; echo err >&2; read -r line || echo end; exit 7"})
	if err != nil {
		return err
	}
	status, err := p.Wait(ctx)
	if err != nil {
		return err
	}
	output, err := p.Output(Stdout)
	if err != nil {
		return err
	}
	if status.State != Exited || status.ExitCode != 7 || output.Text != "out\nerr\nend\n" {
		return fmt.Errorf("%v, %q", status, output.Text)
	}
	if err = p.Signal(syscall.SIGTERM); !errors.Is(err, ErrNotRunning) {
		return fmt.Errorf("a signal to one that has ended: %v", err)
	}
	if p, err = m.Start(ctx, Request{Command: "echo ready; exec sleep 300"}); err != nil {
		return err
	}
	if _, err = p.Read(ctx, Stdout, 0, make([]byte, 6)); err != nil {
		return err
	}
	if err = p.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	if status, err = p.Wait(ctx); err != nil {
		return err
	}
	if status.State != Signaled || status.Signal != syscall.SIGTERM || status.EndedBy != BySignal {
		return fmt.Errorf("%v by %v", status, status.EndedBy)
	}
	return nil
}

// One of the host's own children, which the library does not reap.
func runsAmongOthers() error {
	err := exec.Command("/bin/sh", "-c", "exit 5").Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 5 {
		return fmt.Errorf("a child of the host's own: %v", err)
	}
	return nil
}

func TestProcessesOfAHostThatTakesEverySignal(t *testing.T) {
	takeAllSignals(t)
	m := open(t, Config{})
	failures := make(chan error)
	const goroutines = 32
	for i := 0; i < goroutines; i++ {
		go func() {
			for round := 0; round < 3; round++ {
				if err := errors.Join(runsAsEverywhere(m), runsAmongOthers()); err != nil {
					failures <- err
					return
				}
			}
			failures <- nil
		}()
	}
	for i := 0; i < goroutines; i++ {
		check(t, <-failures)
	}
}

func TestStopAndCloseInAHostThatTakesEverySignal(t *testing.T) {
	takeAllSignals(t)
	m, err := Open(Config{})
	check(t, err)
	p := run(t, m, "trap '' TERM; echo ready; while :; do sleep 300; done")
	readLine(t, p.Follow(limited(t), Stdout))
	status, err := p.Stop(limited(t), 50*time.Millisecond)
	check(t, err)
	if status.Signal != syscall.SIGKILL || status.EndedBy != ByStop {
		t.Error(status, status.EndedBy)
	}

	// What has left the group, with a leader that has ended and one that has not.
	away := "setsid sleep 300 & echo $!;"
	var pids []string
	var left []*Process
	for _, command := range []string{away + " exit 5", away + " exec sleep 300"} {
		p := run(t, m, command)
		pids = append(pids, readLine(t, p.Follow(limited(t), Stdout)))
		left = append(left, p)
	}
	_, err = left[0].Stop(limited(t), 0)
	check(t, err)
	gone(t, pids[0])
	check(t, m.Close())
	gone(t, pids[1])
	status, err = left[1].Status()
	check(t, err)
	if status.Running() || status.EndedBy != ByClose {
		t.Error(status, status.EndedBy)
	}
}

// gone waits until there is no such process, or only a zombie that another process will reap.
func gone(t *testing.T, pid string) {
	t.Helper()
	until(t, "the end of "+pid, func() bool {
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		_, fields, _ := strings.Cut(string(stat), ") ")
		return err != nil || strings.HasPrefix(fields, "Z") || strings.HasPrefix(fields, "X")
	})
}

func TestAChildOfAHostThatTakesEverySignalIsClean(t *testing.T) {
	takeAllSignals(t)
	signal.Ignore(syscall.SIGUSR2, syscall.SIGHUP)
	defer signal.Reset(syscall.SIGUSR2, syscall.SIGHUP)
	// Descriptors that are not closed on exec, as C libraries leave them.
	for i := 0; i < 5; i++ {
		descriptor, err := syscall.Dup(0)
		check(t, err)
		defer syscall.Close(descriptor)
	}
	m := open(t, Config{})
	p := start(t, m, Request{Program: "cat", Args: []string{"/proc/self/status"}})
	wait(t, p)
	for name, mask := range map[string]uint64{"SigBlk:\t": ^uint64(0), "SigIgn:\t": 0x7fffffff} {
		_, rest, ok := strings.Cut(text(t, p), name)
		line, _, _ := strings.Cut(rest, "\n")
		set, err := strconv.ParseUint(line, 16, 64)
		if check(t, err); !ok || set&mask != 0 {
			t.Errorf("%s%#x", name, set)
		}
	}
	p = start(t, m, Request{Program: "ls", Args: []string{"/proc/self/fd"}})
	wait(t, p)
	// The fourth is the directory that ls reads.
	if text(t, p) != "0\n1\n2\n3\n" {
		t.Errorf("%q", text(t, p))
	}
}

func TestSignalsOfTheHostComeToTheHost(t *testing.T) {
	taker := takeAllSignals(t)
	m := open(t, Config{})
	// Threads of the library's, at work and idle.
	p := run(t, m, "while :; do echo x; sleep 0.01; done")
	wait(t, run(t, m, ":"))
	if library, _ := threads(t); library < 3 {
		t.Errorf("only %d threads of the library", library)
	}
	for number := syscall.Signal(1); number < 32; number++ {
		switch number {
		case syscall.SIGKILL, syscall.SIGSTOP:
			continue // These cannot be handled.
		case syscall.SIGPROF:
			continue // Go's runtime does.
		}
		before := taker.count(number)
		check(t, syscall.Kill(os.Getpid(), number))
		until(t, number.String(), func() bool { return taker.count(number) > before })
	}
	status, err := p.Status()
	if check(t, err); !status.Running() {
		t.Error(status)
	}
}

func TestAWriteToAClosedPipeIsAnErrorInTheHost(t *testing.T) {
	m := open(t, Config{})
	run(t, m, "while :; do echo x; sleep 0.01; done")
	broken := func() {
		t.Helper()
		reader, writer, err := os.Pipe()
		check(t, err)
		check(t, reader.Close())
		_, err = writer.Write([]byte("x"))
		if !errors.Is(err, syscall.EPIPE) {
			t.Errorf("%v and no EPIPE", err)
		}
		check(t, writer.Close())
		// The child's is at its default.
		p := run(t, m, "(yes; echo $? >&2) | head -n 1 >/dev/null")
		wait(t, p)
		if text(t, p) != "141\n" {
			t.Errorf("%q", text(t, p))
		}
	}
	broken()
	taker := takeAllSignals(t)
	broken()
	until(t, "SIGPIPE", func() bool { return taker.count(syscall.SIGPIPE) > 0 })
}
