package procmgr_test

import (
	"context"
	"fmt"
	"io"
	"os"

	"procmgr"
)

func Example() {
	ctx := context.Background()
	manager, err := procmgr.Open(procmgr.Config{})
	if err != nil {
		panic(err)
	}
	defer manager.Close()

	process, err := manager.Start(ctx, procmgr.Request{Command: "echo hello; exit 3"})
	if err != nil {
		panic(err)
	}
	if _, err := io.Copy(os.Stdout, process.Follow(ctx, procmgr.Stdout)); err != nil {
		panic(err)
	}
	status, err := process.Wait(ctx)
	if err != nil {
		panic(err)
	}
	fmt.Println(status)
	// Output:
	// hello
	// exited with code 3
}

func ExampleManager_Scope() {
	ctx := context.Background()
	manager, err := procmgr.Open(procmgr.Config{OwnerVariable: "CHAT"})
	if err != nil {
		panic(err)
	}
	defer manager.Close()

	chat, err := manager.Scope("chat-7")
	if err != nil {
		panic(err)
	}
	process, err := chat.Start(ctx, procmgr.Request{Command: "echo I belong to $CHAT"})
	if err != nil {
		panic(err)
	}
	if _, err := process.Wait(ctx); err != nil {
		panic(err)
	}
	output, err := process.Output(procmgr.Stdout)
	if err != nil {
		panic(err)
	}
	fmt.Print(output.Text)

	other, err := manager.Scope("chat-8")
	if err != nil {
		panic(err)
	}
	_, err = other.Get(process.ID())
	fmt.Println(err != nil)
	// Output:
	// I belong to chat-7
	// true
}
