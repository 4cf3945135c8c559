// A contender of the comparison (`cargo bench -p procmgr-compare`) in Go: with os/exec (osexec.go), or with the build tag
// procmgr_source with procmgr's package (procmgr.go). Does the jobs that it reads from standard input; protocol.rs
// describes them.
package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// What is kept of an output.
const (
	headBytes = 16 << 10
	tailBytes = 16 << 10
)

// now is the monotonic clock that all processes share, in nanoseconds.
func now() int64 {
	var t syscall.Timespec
	const monotonic = 1
	if _, _, e := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, monotonic, uintptr(unsafe.Pointer(&t)), 0); e != 0 {
		panic(e)
	}
	return t.Nano()
}

func timed(rounds int, round func() int64) []int64 {
	times := make([]int64, rounds)
	for i := range times {
		times[i] = round()
	}
	return times
}

func many(callers, rounds int, command string) int64 {
	each := rounds / callers
	var ready, over sync.WaitGroup
	ready.Add(1)
	over.Add(callers)
	for i := 0; i < callers; i++ {
		go func() {
			ready.Wait()
			for i := 0; i < each; i++ {
				start(command, nil).finish()
			}
			over.Done()
		}()
	}
	begun := time.Now()
	ready.Done()
	over.Wait()
	return time.Since(begun).Nanoseconds() / int64(each*callers)
}

// arrivals gives the time from each write of a stamp until the bytes are given to the follower.
func arrivals(command string) []int64 {
	var times []int64
	start(command, func(chunk []byte) {
		at := now()
		for ; len(chunk) >= 8; chunk = chunk[8:] {
			times = append(times, at-int64(binary.NativeEndian.Uint64(chunk)))
		}
	}).finish()
	return times
}

func stamp(path string) int64 {
	bytes, err := os.ReadFile(path)
	if err != nil {
		panic(err)
	}
	return int64(binary.NativeEndian.Uint64(bytes))
}

func ballast(bytes int) {
	memory, err := syscall.Mmap(-1, 0, bytes, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		panic(err)
	}
	const noHugePages = 15
	if err := syscall.Madvise(memory, noHugePages); err != nil {
		panic(err)
	}
	for i := 0; i < bytes; i += 4096 {
		memory[i] = 1
	}
}

var crowd []*child

func job(fields []string) []int64 {
	number := func(i int) int {
		n, err := strconv.Atoi(fields[i])
		if err != nil {
			panic(err)
		}
		return n
	}
	switch fields[0] {
	case "ballast":
		ballast(number(1))
	case "start", "spaced":
		return timed(number(1), func() int64 {
			if fields[0] == "spaced" {
				time.Sleep(time.Millisecond)
			}
			begun := time.Now()
			c := start(fields[2], nil)
			took := time.Since(begun)
			c.finish()
			return took.Nanoseconds()
		})
	case "whole":
		return timed(number(1), func() int64 {
			begun := time.Now()
			start(fields[2], nil).finish()
			return time.Since(begun).Nanoseconds()
		})
	case "follow":
		return timed(number(1), func() int64 {
			begun := time.Now()
			start(fields[2], func([]byte) {}).finish()
			return time.Since(begun).Nanoseconds()
		})
	case "callers":
		return []int64{many(number(1), number(2), fields[3])}
	case "arrival":
		return arrivals(fields[2])
	case "exit":
		return timed(number(1), func() int64 {
			start(fields[2], nil).finish()
			return now() - stamp(fields[3])
		})
	case "snapshot":
		c := start(fields[2], nil)
		c.finish()
		return timed(number(1), func() int64 {
			begun := time.Now()
			text := c.snapshot()
			took := time.Since(begun)
			if len(text) < headBytes+tailBytes {
				panic("the text is too short")
			}
			return took.Nanoseconds()
		})
	case "crowd", "crowd-start":
		return timed(number(1), func() int64 {
			begun := time.Now()
			crowd = append(crowd, start(fields[2], nil))
			return time.Since(begun).Nanoseconds()
		})
	case "crowd-close":
		begun := time.Now()
		for _, c := range crowd {
			c.kill()
		}
		for _, c := range crowd {
			c.wait()
		}
		crowd = nil
		return []int64{time.Since(begun).Nanoseconds()}
	default:
		panic("there is no job " + fields[0])
	}
	return nil
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		numbers := job(strings.Split(lines.Text(), "\t"))
		texts := make([]string, len(numbers))
		for i, n := range numbers {
			texts[i] = strconv.FormatInt(n, 10)
		}
		fmt.Println(strings.Join(texts, " "))
	}
}
