//go:build procmgr_source

package main

import (
	"context"
	"fmt"
	"io"
	"syscall"

	"procmgr"
)

var (
	manager    = open()
	background = context.Background()
)

func open() *procmgr.Manager {
	m, err := procmgr.Open(procmgr.Config{})
	if err != nil {
		panic(err)
	}
	return m
}

// child is a process of procmgr.
type child struct {
	process  *procmgr.Process
	follower func([]byte)
}

// start starts a command. The follower, if there is one, is given each piece of the output as it comes.
func start(command string, follower func([]byte)) *child {
	process, err := manager.Start(background, procmgr.Request{Command: command})
	if err != nil {
		panic(err)
	}
	return &child{process, follower}
}

// finish reads the output to its end, if there is a follower, and waits for the end, which must be a success.
func (c *child) finish() {
	if c.follower != nil {
		output := c.process.Follow(background, procmgr.Stdout)
		var buffer [64 << 10]byte
		for {
			length, err := output.Read(buffer[:])
			if length > 0 {
				c.follower(buffer[:length])
			}
			if err == io.EOF {
				break
			}
			if err != nil {
				panic(err)
			}
		}
	}
	if status := c.wait(); status.ExitCode != 0 {
		panic(fmt.Sprint("exit code ", status.ExitCode))
	}
}

func (c *child) wait() procmgr.Status {
	status, err := c.process.Wait(background)
	if err != nil {
		panic(err)
	}
	return status
}

func (c *child) kill() {
	_ = c.process.Signal(syscall.SIGKILL)
}

func (c *child) snapshot() string {
	output, err := c.process.Output(procmgr.Stdout)
	if err != nil {
		panic(err)
	}
	return output.Text
}
