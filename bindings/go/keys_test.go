package procmgr_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"procmgr"
)

func openFor(t *testing.T) *procmgr.Manager {
	t.Helper()
	manager, err := procmgr.Open(procmgr.Config{StopGrace: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := manager.Close(); err != nil {
			t.Error(err)
		}
	})
	return manager
}

func TestOneKeyStartsOnce(t *testing.T) {
	ctx := context.Background()
	manager := openFor(t)
	file := filepath.Join(t.TempDir(), "lines")
	request := procmgr.Request{Command: "echo once >>" + file, Key: "a key\x00with any byte"}
	var all sync.WaitGroup
	var mutex sync.Mutex
	own, ids := 0, map[string]bool{}
	for i := 0; i < 64; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			process, err := manager.Start(ctx, request)
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := process.Wait(ctx); err != nil {
				t.Error(err)
			}
			mutex.Lock()
			defer mutex.Unlock()
			ids[process.ID()] = true
			if !process.Attached() {
				own++
			}
		}()
	}
	all.Wait()
	if own != 1 || len(ids) != 1 {
		t.Errorf("%d started, %d ids", own, len(ids))
	}
	lines, err := os.ReadFile(file)
	if err != nil || string(lines) != "once\n" {
		t.Errorf("%q %v", lines, err)
	}
	id, err := manager.Find(request.Key)
	if err != nil || !ids[id] {
		t.Errorf("%q %v", id, err)
	}
	request.Background = true
	if _, err := manager.Start(ctx, request); !errors.Is(err, procmgr.ErrConflict) {
		t.Error(err)
	}
	if err := manager.Forget(id); err != nil {
		t.Error(err)
	}
	if _, err := manager.Find(request.Key); !errors.Is(err, procmgr.ErrNotFound) {
		t.Error(err)
	}
}

func TestCancel(t *testing.T) {
	ctx := context.Background()
	manager := openFor(t)
	result, err := manager.Cancel(ctx, "never")
	if err != nil || result.Started {
		t.Errorf("%v %v", result, err)
	}
	if _, err := manager.Start(ctx, procmgr.Request{Command: "true", Key: "never"}); !errors.Is(err, procmgr.ErrCanceled) {
		t.Error(err)
	}
	if err := manager.ForgetKey("never"); err != nil {
		t.Error(err)
	}

	if _, err := manager.Start(ctx, procmgr.Request{Command: "trap '' TERM; exec sleep 600", Key: "runs"}); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < 2; i++ {
		result, err = manager.Cancel(ctx, "runs")
		if err != nil || !result.Started || result.Status.EndedBy != procmgr.ByCancel {
			t.Errorf("%v %v", result, err)
		}
	}
	if _, err := manager.Cancel(ctx, strings.Repeat("k", 256)); !errors.Is(err, procmgr.ErrInvalid) {
		t.Error(err)
	}
	if _, err := manager.Cancel(ctx, ""); !errors.Is(err, procmgr.ErrInvalid) {
		t.Error(err)
	}
}

// A caller that gives up on a start with a key must find what it has started, and others may wait for the same key.
func TestGivingUpOnAKeyStopsNothing(t *testing.T) {
	manager := openFor(t)
	request := procmgr.Request{Command: "exec sleep 600", Key: "kept"}
	process, err := manager.Start(context.Background(), request)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < 100; i++ {
		ctx, cancel := context.WithCancel(context.Background())
		go cancel()
		_, _ = manager.Start(ctx, request)
	}
	status, err := process.Status()
	if err != nil || !status.Running() {
		t.Errorf("%v %v", status, err)
	}
}

func TestInstanceAndOrphans(t *testing.T) {
	one, two := openFor(t), openFor(t)
	first, err := one.Instance()
	if err != nil || len(first) != 36 {
		t.Errorf("%q %v", first, err)
	}
	if second, err := two.Instance(); err != nil || second == first {
		t.Errorf("%q %v", second, err)
	}
	if _, err := one.SweepOrphans(); err != nil {
		t.Error(err)
	}
}
