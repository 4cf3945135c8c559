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

	ctx := context.Background()
	manager, err := procmgr.Open(procmgr.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer manager.Close()

	process, err := manager.Start(ctx, procmgr.Request{Command: command})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := io.Copy(os.Stdout, process.Follow(ctx, procmgr.Stdout)); err != nil {
		log.Fatal(err)
	}
	status, err := process.Wait(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("exit code", status.ExitCode)
}
