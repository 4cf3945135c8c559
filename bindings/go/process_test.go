// What one process does: its end, its output, signals and stopping.

package procmgr

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestEnd(t *testing.T) {
	m := open(t, Config{})
	for _, test := range []struct {
		command, text, says string
		state               State
		code                int
		signal              syscall.Signal
	}{
		{"echo out; echo err >&2", "out\nerr\n", "exited with code 0", Exited, 0, 0},
		{"printf x; exit 3", "x", "exited with code 3", Exited, 3, 0},
		{"kill -SEGV $$", "", "killed by signal 11 (segmentation fault)", Signaled, -1, syscall.SIGSEGV},
	} {
		p := run(t, m, test.command)
		s := wait(t, p)
		if s.State != test.state || s.ExitCode != test.code || s.Signal != test.signal || s.String() != test.says {
			t.Errorf("%s: %v %+v", test.command, s, s)
		}
		if text := text(t, p); text != test.text {
			t.Errorf("%s: printed %q", test.command, text)
		}
		if s.ID != p.ID() || s.PID <= 0 || s.Running() || s.EndedBy != ByNobody || s.EndedAt.Before(s.StartedAt) ||
			s.Duration <= 0 || s.MaxRSSKiB == 0 || s.OutputBytes != uint64(len(test.text)) {
			t.Errorf("%s: %+v", test.command, s)
		}
	}
}

func TestEndDoesNotWaitForWhoHoldsTheOutput(t *testing.T) {
	m := open(t, Config{})
	p := run(t, m, "sleep 600 & echo ok")
	all, err := io.ReadAll(p.Follow(limited(t), Stdout))
	check(t, err)
	if s := wait(t, p); string(all) != "ok\n" || s.ExitCode != 0 || !s.OutputOpen {
		t.Errorf("%q, %+v", all, s)
	}
	// What is left can still be stopped.
	s, err := p.Stop(limited(t), 0)
	check(t, err)
	if s.ExitCode != 0 || s.EndedBy != ByNobody {
		t.Errorf("%+v", s)
	}
	wants(t, p.Signal(syscall.SIGTERM), ErrNotRunning)
}

func TestFollowThroughSurvivors(t *testing.T) {
	m := open(t, Config{})
	fifo := filepath.Join(t.TempDir(), "fifo")
	check(t, syscall.Mkfifo(fifo, 0o600))
	p := start(t, m, Request{Command: `(read line <"$1"; echo "$line") & echo early`, Args: []string{"sh", fifo}})
	f := p.Follow(limited(t), Stdout).ThroughSurvivors()
	if line := readLine(t, f); line != "early" {
		t.Errorf("%q", line)
	}
	wait(t, p)
	check(t, os.WriteFile(fifo, []byte("late\n"), 0))
	rest, err := io.ReadAll(f)
	check(t, err)
	if string(rest) != "late\n" || f.Cursor() != 11 || f.Lost() != 0 {
		t.Errorf("%q, at %d", rest, f.Cursor())
	}
}

func TestFollowAsItComes(t *testing.T) {
	m := open(t, Config{})
	fifo := filepath.Join(t.TempDir(), "fifo")
	check(t, syscall.Mkfifo(fifo, 0o600))
	p := start(t, m, Request{Command: `echo one; cat "$0"; echo three`, Args: []string{fifo}})
	f := p.Follow(limited(t), Stdout)
	if line := readLine(t, f); line != "one" {
		t.Errorf("%q", line)
	}
	check(t, os.WriteFile(fifo, []byte("two\n"), 0))
	rest, err := io.ReadAll(f)
	check(t, err)
	if string(rest) != "two\nthree\n" {
		t.Errorf("%q", rest)
	}
	again, err := io.ReadAll(p.Follow(limited(t), Stdout).From(4))
	check(t, err)
	if string(again) != "two\nthree\n" {
		t.Errorf("from 4: %q", again)
	}
}

func TestReadersAtDifferentCursors(t *testing.T) {
	m := open(t, Config{})
	fifo := filepath.Join(t.TempDir(), "fifo")
	check(t, syscall.Mkfifo(fifo, 0o600))
	p := start(t, m, Request{Command: `printf 0123456789; cat "$0"`, Args: []string{fifo}})
	ctx := limited(t)
	// In whichever order these ask, the nearer one must be told of the next byte, and the farther one must not.
	type result struct {
		chunk Chunk
		err   error
	}
	near, far := make(chan result, 1), make(chan result, 1)
	read := func(cursor uint64, to chan<- result) {
		chunk, err := p.Read(ctx, Stdout, cursor, make([]byte, 100))
		to <- result{chunk, err}
	}
	go read(10, near)
	until(t, "one waits", func() bool { return m.waiting() == 1 })
	go read(15, far)
	until(t, "both wait", func() bool { return m.waiting() == 2 })
	writer, err := os.OpenFile(fifo, os.O_WRONLY, 0)
	check(t, err)
	defer writer.Close()
	_, err = writer.WriteString("abc")
	check(t, err)
	if r := <-near; r.err != nil || r.chunk.Length == 0 || r.chunk.Length > 3 {
		t.Errorf("%+v", r)
	}
	select {
	case r := <-far:
		t.Errorf("%+v", r)
	default:
	}
	_, err = writer.WriteString("defgh")
	check(t, err)
	if r := <-far; r.err != nil || r.chunk.Length == 0 || r.chunk.Cursor > 18 {
		t.Errorf("%+v", r)
	}
}

func TestReadTellsWhatIsGone(t *testing.T) {
	m := open(t, Config{HeadBytes: 10, TailBytes: 20})
	p := run(t, m, "for i in 0 1 2 3 4 5 6 7 8 9; do printf '%s........-' $i; done")
	wait(t, p)
	buffer := make([]byte, 100)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	// What is there is read, also when there is no time to wait.
	first, err := p.Read(ctx, Stdout, 0, buffer)
	check(t, err)
	if got := string(buffer[:first.Length]); got != "0........-" || first.Lost != 0 || first.Cursor != 10 {
		t.Errorf("%q %+v", got, first)
	}
	second, err := p.Read(ctx, Stdout, first.Cursor, buffer)
	check(t, err)
	if got := string(buffer[:second.Length]); got != "8........-9........-" || second.Lost != 70 || second.Cursor != 100 {
		t.Errorf("%q %+v", got, second)
	}
	end, err := p.Read(ctx, Stdout, second.Cursor, buffer)
	if err != io.EOF || end.Length != 0 || end.Cursor != 100 {
		t.Errorf("%+v %v", end, err)
	}
	f := p.Follow(limited(t), Stdout)
	all, err := io.ReadAll(f)
	check(t, err)
	if string(all) != "0........-8........-9........-" || f.Lost() != 70 {
		t.Errorf("%q, %d lost", all, f.Lost())
	}
	output, err := p.Output(Stdout)
	check(t, err)
	want := Truncation{100, uint64(len(output.Text)), 70, TruncationStrategy}
	if output.Truncation == nil || *output.Truncation != want || !strings.Contains(output.Text, "[omitted 70 bytes]") {
		t.Errorf("%q %+v", output.Text, output.Truncation)
	}
}

func TestReadIntoMemoryAmongPointers(t *testing.T) {
	m := open(t, Config{})
	p := run(t, m, "echo hello")
	wait(t, p)
	neighbours := struct {
		before *string
		bytes  [16]byte
		after  *string
	}{before: new(string), after: new(string)}
	for from := range neighbours.bytes[:8] {
		chunk, err := p.Read(limited(t), Stdout, 0, neighbours.bytes[from:])
		check(t, err)
		if got := string(neighbours.bytes[from : from+chunk.Length]); got != "hello\n" {
			t.Errorf("%q", got)
		}
	}
	chunk, err := p.Read(limited(t), Stdout, 0, nil)
	if chunk.Length != 0 || chunk.Cursor != 0 || err != nil {
		t.Errorf("into nothing: %+v, %v", chunk, err)
	}
	if n, err := p.Follow(limited(t), Stdout).Read(nil); n != 0 || err != nil {
		t.Errorf("into nothing: %d, %v", n, err)
	}
}

func TestLargeOutput(t *testing.T) {
	m := open(t, Config{HeadBytes: 1 << 20, TailBytes: 1 << 20, MaxLineBytes: -1})
	p := start(t, m, Request{Command: "yes 0123456789abcde | head -c 10000000", Lossless: true})
	all, err := io.ReadAll(p.Follow(limited(t), Stdout))
	check(t, err)
	if string(all) != strings.Repeat("0123456789abcde\n", 10000000/16) {
		t.Errorf("%d bytes, not those that were written", len(all))
	}
	wait(t, p)
	output, err := p.Output(Stdout)
	check(t, err)
	if len(output.Text) < 2<<20 || output.Truncation == nil || output.Truncation.OriginalBytes != 10000000 {
		t.Errorf("%d bytes of text, %+v", len(output.Text), output.Truncation)
	}
}

func TestSignals(t *testing.T) {
	m := open(t, Config{})
	p := run(t, m, "trap 'echo usr1' USR1; echo ready; while :; do sleep 600 & wait; done")
	f := p.Follow(limited(t), Stdout)
	readLine(t, f)
	check(t, p.Signal(syscall.SIGUSR1))
	for line := readLine(t, f); line != "usr1"; line = readLine(t, f) {
		// The shell may say what happened to the sleep.
	}
	wants(t, p.Signal(syscall.SIGSEGV), ErrUnsupported)
	wants(t, p.Signal(noSignal{}), ErrUnsupported)
	check(t, p.Signal(os.Kill))
	if s := wait(t, p); s.Signal != syscall.SIGKILL || s.EndedBy != BySignal {
		t.Errorf("%+v", s)
	}
	// KILL went to the sleep too, which need not have ended yet.
	_, err := p.Stop(limited(t), 0)
	check(t, err)
	err = p.Signal(os.Interrupt)
	wants(t, err, ErrNotRunning)
	if err == nil || !strings.Contains(err.Error(), p.ID()) {
		t.Errorf("%v does not name the process", err)
	}
}

type noSignal struct{}

func (noSignal) Signal()        {}
func (noSignal) String() string { return "no signal" }

func TestStop(t *testing.T) {
	m := open(t, Config{})
	for _, test := range []struct {
		command string
		grace   time.Duration
		signal  syscall.Signal
		code    int
	}{
		{"trap 'exit 7' TERM; sh -c 'echo ready; exec sleep 600' & wait", patience, 0, 7},
		{"echo ready; exec sleep 600", patience, syscall.SIGTERM, -1},
		{"trap '' TERM; echo ready; sleep 600", 10 * time.Millisecond, syscall.SIGKILL, -1},
		{"trap '' TERM; setsid sleep 600 & echo ready; wait", 10 * time.Millisecond, syscall.SIGTERM, -1},
		{"echo ready; exec sleep 600", 0, syscall.SIGKILL, -1},
	} {
		p := run(t, m, test.command)
		readLine(t, p.Follow(limited(t), Stdout))
		s, err := p.Stop(limited(t), test.grace)
		check(t, err)
		if strings.Contains(test.command, "setsid") {
			// The shell ignores TERM, and so does what it started.
			test.signal = syscall.SIGKILL
		}
		if s.Signal != test.signal || s.ExitCode != test.code || s.EndedBy != ByStop {
			t.Errorf("%s: %+v", test.command, s)
		}
		wants(t, p.Signal(syscall.SIGKILL), ErrNotRunning)
		again, err := p.Stop(limited(t), test.grace)
		// No process is left to write, but that need not have been seen at the first stop's return.
		again.OutputOpen = s.OutputOpen
		if err != nil || again != s {
			t.Errorf("%s: stopped again: %#v after %#v, %v", test.command, again, s, err)
		}
	}
}

func TestStopsAtOnce(t *testing.T) {
	m := open(t, Config{})
	p := run(t, m, "trap '' TERM; echo ready; sleep 600")
	readLine(t, p.Follow(limited(t), Stdout))
	results := make(chan error, 10)
	for i := 0; i < 10; i++ {
		grace := time.Duration(i%2) * 50 * time.Millisecond
		go func() {
			s, err := p.Stop(limited(t), grace)
			if err == nil && s.EndedBy != ByStop {
				err = errors.New(s.EndedBy.String())
			}
			results <- err
		}()
	}
	for i := 0; i < 10; i++ {
		check(t, <-results)
	}
}

func TestSeparateStreams(t *testing.T) {
	m := open(t, Config{})
	p := start(t, m, Request{Command: "echo out; echo err >&2", SeparateStreams: true})
	wait(t, p)
	for stream, want := range map[Stream]string{Stdout: "out\n", Stderr: "err\n"} {
		output, err := p.Output(stream)
		if err != nil || output.Text != want || output.Truncation != nil {
			t.Errorf("%v: %+v, %v", stream, output, err)
		}
		all, err := io.ReadAll(p.Follow(limited(t), stream))
		if err != nil || string(all) != want {
			t.Errorf("%v: %q, %v", stream, all, err)
		}
	}
	merged := run(t, m, "echo all >&2")
	_, err := merged.Output(Stderr)
	wants(t, err, ErrInvalid)
	_, err = io.ReadAll(merged.Follow(limited(t), Stderr))
	wants(t, err, ErrInvalid)
	_, err = merged.Read(limited(t), Stream(7), 0, nil)
	wants(t, err, ErrInvalid)
}
