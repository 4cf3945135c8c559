// Package procmgr starts shell commands for a host program, keeps a bounded part of the output of each one, reports exactly
// how each one ended, and ends all that is left of them.
//
// A [Manager] is a registry of processes; [Manager.Scope] is a view of it for one owner: a chat, a tenant, a job.
// [Manager.Start] starts what a [Request] describes and gives a [Process], of which everything is asked.
//
//   - [Process.Wait] returns as soon as the leader has ended and all that it wrote can be read, even if a server that it
//     left in the background holds its output.
//   - [Process.Output] gives the output as text of bounded size: its beginning and its end, and how much is not shown.
//   - [Process.Follow] gives it as it comes, as an [io.Reader]; [Process.Read] from any position.
//   - [Process.Stop] sends TERM to the process and everything that it left behind, KILL after a grace period, and returns
//     when nothing of it is left. [Manager.Close] does that for all of them.
//
// # Contexts
//
// Every call that waits takes a [context.Context] and returns its error as soon as it ends. That ends the waiting and
// nothing else: a process is ended by Stop, Signal, Close and the time limit of its request. Waiting costs a goroutine and
// no OS thread, however many goroutines wait: one goroutine of a manager waits in Go's poller and wakes the others. Waiting
// for the end of a process takes a file descriptor (a pidfd), up to 256 of them for a manager.
//
// # Limits
//
// Go raises the soft limit of open files (RLIMIT_NOFILE) of its process when it starts. Processes that this package starts
// inherit the raised limit; those of os/exec get the original one.
//
// # Errors
//
// Errors are of type [*Error]. They have a kind ([Code]) for [errors.Is], and the operating system's error where it had a
// part in it:
//
//	process, err := manager.Start(ctx, procmgr.Request{Command: "make", Dir: "/no/such"})
//	errors.Is(err, procmgr.ErrSpawn) // true
//	errors.Is(err, fs.ErrNotExist)   // true
//	var failed *procmgr.Error
//	errors.As(err, &failed)          // failed.Step is procmgr.StepDirectory
//
// # Building
//
// The package needs cgo and the procmgr library, which it finds with pkg-config.
package procmgr
