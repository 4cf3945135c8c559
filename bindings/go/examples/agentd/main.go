// Agentd lets agents start, follow and end commands over HTTP: see [handler] for its routes.
//
//	go run ./examples/agentd -listen 127.0.0.1:8080
//	curl -d '{"command": "make test"}' 127.0.0.1:8080/start
//
// Any program that can reach it can run any command as its user, so by default it listens on the loopback interface only.
// SIGINT and SIGTERM end it, and every process that it started.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"procmgr"
)

// How long requests under way are waited for once all processes have ended.
const shutdownPatience = 5 * time.Second

func main() {
	address := flag.String("listen", "127.0.0.1:8080", "the `address` to listen on")
	grace := flag.Duration("grace", time.Second, "time between TERM and KILL when shutting down")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	listener, err := net.Listen("tcp", *address)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening on", listener.Addr())
	if err := run(ctx, listener, *grace); err != nil {
		log.Fatal(err)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, listener net.Listener, grace time.Duration) error {
	defer listener.Close()
	manager, err := procmgr.Open(procmgr.Config{OwnerVariable: "CODER_CHAT_ID", CloseGrace: grace})
	if err != nil {
		return err
	}
	defer manager.Close()
	server := &http.Server{Handler: handler{manager}, ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	// First, for it ends the requests that wait for a process.
	closed := manager.Close()
	patience, cancel := context.WithTimeout(context.Background(), shutdownPatience)
	defer cancel()
	return errors.Join(closed, server.Shutdown(patience))
}
