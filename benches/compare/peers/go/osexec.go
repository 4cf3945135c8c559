//go:build !procmgr_source

package main

import (
	"os/exec"
	"syscall"
)

// child is a process of os/exec, used as the reference system uses it: one buffer as standard output and error, a process
// group, a goroutine in Wait.
type child struct {
	cmd  *exec.Cmd
	out  *buffer
	err  error
	done chan struct{}
}

// start starts a command. The follower, if there is one, is given each piece of the output as it comes.
func start(command string, follower func([]byte)) *child {
	out := &buffer{follower: follower}
	cmd := exec.Command("/bin/sh", "-c", command)
	cmd.Stdout = out
	cmd.Stderr = out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		panic(err)
	}
	c := &child{cmd: cmd, out: out, done: make(chan struct{})}
	go func() {
		c.err = cmd.Wait()
		close(c.done)
	}()
	return c
}

// finish waits for the end, which must be a success.
func (c *child) finish() {
	c.wait()
	if c.err != nil {
		panic(c.err)
	}
}

func (c *child) wait() {
	<-c.done
}

func (c *child) kill() {
	_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL)
}

func (c *child) snapshot() string {
	return c.out.snapshot()
}
