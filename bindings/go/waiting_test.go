// What waiting costs, and that every wait ends: contexts, goroutines, OS threads, lost events, the collector.

package procmgr

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Canceling ends the waiting at once, of every kind of call, leaves no goroutine and no OS thread, and the process alone.
func TestCancel(t *testing.T) {
	m := open(t, Config{})
	p := run(t, m, "trap '' TERM; echo ready; sleep 600")
	readLine(t, p.Follow(limited(t), Stdout))
	before := runtime.NumGoroutine()
	_, threadsBefore := threads(t)
	for name, call := range map[string]func(context.Context) error{
		"wait": func(ctx context.Context) error {
			_, err := p.Wait(ctx)
			return err
		},
		"read": func(ctx context.Context) error {
			_, err := p.Read(ctx, Stdout, 6, make([]byte, 10))
			return err
		},
		"follow": func(ctx context.Context) error {
			_, err := io.ReadAll(p.Follow(ctx, Stdout))
			return err
		},
	} {
		const many = 100
		ctx, cancel := context.WithCancel(context.Background())
		errs := make(chan error, many)
		for i := 0; i < many; i++ {
			go func() { errs <- call(ctx) }()
		}
		until(t, "all wait", func() bool { return m.waiting() == many })
		cancel()
		for i := 0; i < many; i++ {
			if err := <-errs; err != context.Canceled {
				t.Errorf("%s: %v", name, err)
			}
		}
		if waiting := m.waiting(); waiting != 0 {
			t.Errorf("%s: %d still wait", name, waiting)
		}
		ctx, cancel = context.WithTimeout(context.Background(), time.Millisecond)
		wants(t, call(ctx), context.DeadlineExceeded)
		cancel()
	}
	until(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before })
	if _, after := threads(t); after > threadsBefore+10 {
		t.Errorf("%d OS threads, %d before", after, threadsBefore)
	}
	if s, err := p.Status(); err != nil || !s.Running() {
		t.Errorf("%+v, %v", s, err)
	}

	// A stop goes on without its caller.
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan error)
	go func() {
		_, err := p.Stop(ctx, 200*time.Millisecond)
		stopped <- err
	}()
	until(t, "it waits", func() bool { return m.waiting() == 1 })
	cancel()
	if err := <-stopped; err != context.Canceled {
		t.Error(err)
	}
	if s := wait(t, p); s.EndedBy != ByStop || s.Signal != syscall.SIGKILL {
		t.Errorf("%+v", s)
	}
}

// A thousand goroutines that wait, each for its own process, need no OS threads.
func TestThousandWaits(t *testing.T) {
	const many, fewOSThreads = 1000, 50
	m := open(t, Config{})
	ended := make(chan Status, many)
	processes := make(chan *Process, many)
	for i := 0; i < many; i++ {
		go func() {
			p, err := m.Start(limited(t), Request{Program: "sleep", Args: []string{"600"}})
			if err != nil {
				t.Error(err)
				ended <- Status{}
				processes <- nil
				return
			}
			processes <- p
			s, err := p.Wait(limited(t))
			if err != nil {
				t.Error(err)
			}
			ended <- s
		}()
	}
	until(t, "all wait", func() bool { return m.waiting() == many || t.Failed() })
	library, others := threads(t)
	t.Logf("%d goroutines wait for %d processes: %d OS threads of the library, %d others", many, many, library, others)
	if others >= fewOSThreads {
		t.Errorf("%d OS threads", others)
	}
	for i := 0; i < many; i++ {
		if p := <-processes; p != nil {
			check(t, p.Signal(syscall.SIGKILL))
		}
	}
	for i := 0; i < many; i++ {
		if s := <-ended; s.Signal != syscall.SIGKILL {
			t.Errorf("%+v", s)
		}
	}
	if _, others = threads(t); others >= fewOSThreads {
		t.Errorf("%d OS threads when all have ended", others)
	}
}

// Followers that wait need none either.
func TestManyFollowers(t *testing.T) {
	const many, fewOSThreads = 300, 50
	m := open(t, Config{})
	p := run(t, m, "for i in 1 2 3 4 5 6 7 8 9; do echo $i; sleep 0.01; done; echo ready; sleep 600")
	results := make(chan string, many)
	for i := 0; i < many; i++ {
		go func() {
			all, err := io.ReadAll(p.Follow(limited(t), Stdout))
			if err != nil {
				t.Error(err)
			}
			results <- string(all)
		}()
	}
	readLine(t, p.Follow(limited(t), Stdout).From(18))
	until(t, "all wait", func() bool { return m.waiting() == many })
	if _, others := threads(t); others >= fewOSThreads {
		t.Errorf("%d OS threads", others)
	}
	check(t, p.Signal(syscall.SIGKILL))
	for i := 0; i < many; i++ {
		if all := <-results; all != "1\n2\n3\n4\n5\n6\n7\n8\n9\nready\n" {
			t.Errorf("%q", all)
		}
	}
}

// 5,000 goroutines that wait and 5,000 that follow, at the same time.
func TestThousandsOfBoth(t *testing.T) {
	const many, processes, fewOSThreads = 5000, 500, 50
	m := open(t, Config{})
	var running []*Process
	for i := 0; i < processes; i++ {
		running = append(running, start(t, m, Request{Command: "echo ready; exec sleep 600"}))
	}
	ctx := limited(t)
	errs := make(chan error, 2*many)
	for i := 0; i < many; i++ {
		p := running[i%processes]
		go func() {
			s, err := p.Wait(ctx)
			if err == nil && s.Signal != syscall.SIGKILL {
				err = fmt.Errorf("%+v", s)
			}
			errs <- err
		}()
		go func() {
			all, err := io.ReadAll(p.Follow(ctx, Stdout))
			if err == nil && string(all) != "ready\n" {
				err = fmt.Errorf("%q", all)
			}
			errs <- err
		}()
	}
	until(t, "all wait", func() bool { return m.waiting() == 2*many || len(errs) > 0 })
	if _, others := threads(t); others >= fewOSThreads {
		t.Errorf("%d OS threads", others)
	}
	for _, p := range running {
		check(t, p.Signal(syscall.SIGKILL))
	}
	for i := 0; i < 2*many; i++ {
		check(t, <-errs)
	}
	if _, others := threads(t); others >= fewOSThreads {
		t.Errorf("%d OS threads when all have ended", others)
	}
}

// Where the kernel gives no pidfd, an event reports the end.
func TestWithoutPidfds(t *testing.T) {
	m := open(t, Config{})
	m.hub.mu.Lock()
	m.hub.maxExits = 0
	m.hub.mu.Unlock()
	for i := 0; i < 20; i++ {
		p := run(t, m, "echo x; sleep 0.01")
		if all, err := io.ReadAll(p.Follow(limited(t), Stdout)); err != nil || string(all) != "x\n" {
			t.Errorf("%q, %v", all, err)
		}
		if s := wait(t, run(t, m, "sleep 0.01; exit 3")); s.ExitCode != 3 {
			t.Errorf("%+v", s)
		}
	}
}

// When events are dropped because the queue of the library is full, no goroutine waits for ever.
func TestMissedEvents(t *testing.T) {
	m := open(t, Config{})
	noise := run(t, m, "true")
	wait(t, noise)
	waited, followed, stubborn := run(t, m, "exec sleep 600"), run(t, m, "echo ready; read line <&-; exec sleep 600"),
		run(t, m, "trap '' TERM; echo ready; sleep 600")
	f := followed.Follow(limited(t), Stdout)
	readLine(t, f)
	readLine(t, stubborn.Follow(limited(t), Stdout))
	results := make(chan error, 3)
	go func() {
		_, err := waited.Wait(limited(t))
		results <- err
	}()
	go func() {
		// The shell may complain about its closed input.
		_, err := io.ReadAll(f)
		results <- err
	}()
	until(t, "both wait", func() bool { return m.waiting() == 2 })
	go func() {
		s, err := stubborn.Stop(limited(t), 50*time.Millisecond)
		if err == nil && s.EndedBy != ByStop {
			err = fmt.Errorf("%v", s.EndedBy)
		}
		results <- err
	}()
	until(t, "all wait", func() bool { return m.waiting() == 3 })

	// The dispatcher waits for the lock, and the library's queue overflows.
	m.hub.mu.Lock()
	unlocked := false
	defer func() {
		if !unlocked {
			m.hub.mu.Unlock()
		}
	}()
	readable := topic{id: noise.id}
	for i := 0; i < 17_000; i++ {
		check(t, m.hub.watch(m.handle, readable, 0))
	}
	for _, p := range []*Process{waited, followed} {
		check(t, p.Signal(syscall.SIGKILL))
	}
	until(t, "all have ended", func() bool {
		list, _, err := m.List(1)
		check(t, err)
		return !list[0].Running()
	})
	m.hub.mu.Unlock()
	unlocked = true
	for i := 0; i < 3; i++ {
		check(t, <-results)
	}
}

// Everything at once, while the collector runs without pause: no memory of Go's is kept by the library, or moved or freed
// under it.
func TestUnderCollection(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(1))
	collecting(t)
	m := open(t, Config{HeadBytes: 2000, TailBytes: 2000})
	var all sync.WaitGroup
	for worker := 0; worker < 8; worker++ {
		worker := worker
		all.Add(1)
		go func() {
			defer all.Done()
			scope, err := m.Scope(fmt.Sprint("owner ", worker))
			if err != nil {
				t.Error(err)
				return
			}
			for i := 0; i < 8; i++ {
				if err := useAll(limited(t), scope, fmt.Sprint(worker, " ", i)); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	all.Wait()
}

// useAll calls everything once, and checks all results.
func useAll(ctx context.Context, m *Manager, name string) error {
	p, err := m.Start(ctx, Request{
		Command: `exec 2>&-; trap 'exit 9' TERM; echo "$NAME $0 $1"; while :; do read line; sleep 0.005; done`,
		Args:    []string{"zero", "one"},
		Env:     []string{"NAME=" + name},
		Dir:     "/",
	})
	if err != nil {
		return err
	}
	want := name + " zero one\n"
	f := p.Follow(ctx, Stdout)
	line := make([]byte, len(want))
	if _, err := io.ReadFull(f, line); err != nil || string(line) != want {
		return fmt.Errorf("followed %q, %w", line, err)
	}
	short, cancel := context.WithTimeout(ctx, time.Millisecond)
	defer cancel()
	if _, err := p.Wait(short); err != context.DeadlineExceeded {
		return fmt.Errorf("waited: %w", err)
	}
	if output, err := p.Output(Stdout); err != nil || output.Text != want {
		return fmt.Errorf("%q, %w", output.Text, err)
	}
	if command, err := p.Command(); err != nil || !strings.HasSuffix(command, "done zero one") {
		return fmt.Errorf("command %q, %w", command, err)
	}
	if list, total, err := m.List(1); err != nil || total == 0 || list[0].ID != p.ID() {
		return fmt.Errorf("list %+v, %w", list, err)
	}
	if _, err := m.Get(strings.ToUpper(p.ID())); err != nil {
		return err
	}
	if _, err := m.Get(name); err == nil {
		return fmt.Errorf("found %q", name)
	}
	s, err := p.Stop(ctx, patience)
	if err != nil || s.ExitCode != 9 || s.EndedBy != ByStop {
		return fmt.Errorf("stopped: %+v, %w", s, err)
	}
	if err := p.Signal(os.Kill); err == nil {
		return fmt.Errorf("something of %s is left", p.ID())
	}
	if rest, err := io.ReadAll(f); err != nil || len(rest) != 0 {
		return fmt.Errorf("the rest is %q, %w", rest, err)
	}
	return nil
}

// Reads, waits, lists and signals while the manager is closed under them: every call returns.
func TestCloseUnderUse(t *testing.T) {
	for round := 0; round < 5; round++ {
		m := open(t, Config{})
		var users sync.WaitGroup
		closing := make(chan struct{})
		for i := 0; i < 8; i++ {
			users.Add(1)
			go func() {
				defer users.Done()
				for {
					p, err := m.Start(limited(t), Request{Command: "echo x; exec sleep 600"})
					if err != nil {
						wants(t, err, ErrClosed)
						return
					}
					users.Add(3)
					go func() {
						defer users.Done()
						if _, err := p.Wait(limited(t)); err != nil {
							t.Error(err)
						}
					}()
					go func() {
						defer users.Done()
						if _, err := io.ReadAll(p.Follow(limited(t), Stdout)); err != nil {
							t.Error(err)
						}
					}()
					go func() {
						defer users.Done()
						if _, _, err := m.List(-1); err != nil {
							t.Error(err)
						}
						<-closing
						if _, err := p.Stop(limited(t), 0); err != nil {
							t.Error(err)
						}
					}()
					if _, total, _ := m.List(0); total > 30 {
						<-closing
					}
				}
			}()
		}
		until(t, "enough run", func() bool { _, total, _ := m.List(0); return total > 30 })
		close(closing)
		check(t, m.Close())
		users.Wait()
	}
}
