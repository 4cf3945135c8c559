// The package and os/exec, measured in turns in one run: go test -run '^$' -bench . -benchtime 300x

package procmgr

import (
	"bytes"
	"context"
	"io"
	"os/exec"
	"sort"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The command that is measured. Both start it as sh -c.
const benchCommand = ":"

// The number of goroutines of the last measurement, and how many processes each of them starts in a round.
const benchCallers, benchEach = 8, 10

var background = context.Background()

// A contender gives the process of a start that has returned.
type contender interface {
	start(b *testing.B) (follow, wait func())
}

type own struct{ manager *Manager }

func (c own) start(b *testing.B) (follow, wait func()) {
	p, err := c.manager.Start(background, Request{Command: benchCommand})
	if err != nil {
		b.Error(err)
		return func() {}, func() {}
	}
	follow = func() {
		if _, err := io.Copy(io.Discard, p.Follow(background, Stdout)); err != nil {
			b.Error(err)
		}
	}
	return follow, func() {
		if s, err := p.Wait(background); err != nil || s.ExitCode != 0 {
			b.Errorf("%v, %v", s, err)
		}
	}
}

// osExec captures standard output and error in one buffer, or gives them through a pipe to be followed.
type osExec struct{ piped bool }

func (c osExec) start(b *testing.B) (follow, wait func()) {
	command := exec.Command("/bin/sh", "-c", benchCommand)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var pipe io.Reader
	if c.piped {
		out, err := command.StdoutPipe()
		if err != nil {
			b.Error(err)
		}
		pipe, command.Stderr = out, command.Stdout
	} else {
		out := new(bytes.Buffer)
		command.Stdout, command.Stderr = out, out
	}
	if err := command.Start(); err != nil {
		b.Error(err)
	}
	follow = func() {
		if _, err := io.Copy(io.Discard, pipe); err != nil {
			b.Error(err)
		}
	}
	return follow, func() {
		if err := command.Wait(); err != nil {
			b.Error(err)
		}
	}
}

// compare measures both in each round, in turns, and reports the medians and their ratio.
func compare(b *testing.B, ours, theirs contender, round func(contender) time.Duration) {
	times := [2][]float64{}
	for i := 0; i < b.N; i++ {
		for turn := 0; turn < 2; turn++ {
			// What one leaves to be done does not delay the other.
			time.Sleep(time.Millisecond)
			which := (i + turn) % 2
			took := round([]contender{ours, theirs}[which])
			times[which] = append(times[which], float64(took.Nanoseconds())/1e3)
		}
	}
	medians := [2]float64{}
	for i := range times {
		sort.Float64s(times[i])
		medians[i] = times[i][len(times[i])/2]
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(medians[0], "µs-own")
	b.ReportMetric(medians[1], "µs-exec")
	b.ReportMetric(medians[0]/medians[1], "own/exec")
}

func BenchmarkStart(b *testing.B) {
	compare(b, own{open(b, Config{})}, osExec{}, func(c contender) time.Duration {
		begun := time.Now()
		_, wait := c.start(b)
		took := time.Since(begun)
		wait()
		return took
	})
}

func BenchmarkStartWait(b *testing.B) {
	compare(b, own{open(b, Config{})}, osExec{}, func(c contender) time.Duration {
		begun := time.Now()
		_, wait := c.start(b)
		wait()
		return time.Since(begun)
	})
}

func BenchmarkStartFollowWait(b *testing.B) {
	compare(b, own{open(b, Config{})}, osExec{piped: true}, func(c contender) time.Duration {
		begun := time.Now()
		follow, wait := c.start(b)
		follow()
		wait()
		return time.Since(begun)
	})
}

// The time of a round is that of benchCallers * benchEach processes: starts per second are as many times those of os/exec
// as the ratio is below 1.
func BenchmarkCallers(b *testing.B) {
	compare(b, own{open(b, Config{})}, osExec{}, func(c contender) time.Duration {
		var callers sync.WaitGroup
		callers.Add(benchCallers)
		begun := time.Now()
		for i := 0; i < benchCallers; i++ {
			go func() {
				defer callers.Done()
				for i := 0; i < benchEach; i++ {
					_, wait := c.start(b)
					wait()
				}
			}()
		}
		callers.Wait()
		return time.Since(begun)
	})
}
