// Command follow is the program of docs/hosts.md in Go: it runs a command, prints its output as it comes, and prints how it
// ended.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"

	"procmgr"
)

func main() {
	command := "echo hello; exit 3"
	if len(os.Args) > 1 {
		command = os.Args[1]
	}
	// The manager is closed when run returns: log.Fatal skips deferred calls.
	if err := run(command); err != nil {
		log.Fatal(err)
	}
}

func run(command string) error {
	ctx := context.Background()
	manager, err := procmgr.Open(procmgr.Config{})
	if err != nil {
		return err
	}
	defer manager.Close()

	// Lossless: the command waits for this program instead of overwriting what it has not read.
	process, err := manager.Start(ctx, procmgr.Request{Command: command, Lossless: true})
	if err != nil {
		return err
	}
	if _, err := io.Copy(os.Stdout, process.Follow(ctx, procmgr.Stdout)); err != nil {
		return err
	}
	status, err := process.Wait(ctx)
	if err != nil {
		return err
	}
	fmt.Println("exit code", status.ExitCode)
	return nil
}
