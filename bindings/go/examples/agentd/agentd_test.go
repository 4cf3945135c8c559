// The routes, as a client uses them.

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"procmgr"
)

// A client acts for a chat, or for no chat.
type client struct {
	*testing.T
	url, chat, key string
}

func serve(t *testing.T) client {
	t.Helper()
	manager, err := procmgr.Open(procmgr.Config{OwnerVariable: "CODER_CHAT_ID"})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler{manager})
	t.Cleanup(func() {
		// First, for it ends the requests that wait.
		if err := manager.Close(); err != nil {
			t.Error(err)
		}
		server.Close()
	})
	return client{t, server.URL, "", ""}
}

func (c client) with(key string) client {
	c.key = key
	return c
}

func (c client) as(chat string) client {
	c.chat = chat
	return c
}

// do makes a request, and gives the answer as it is and as a map.
func (c client) do(ctx context.Context, method, path, body string) (code int, raw []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, method, c.url+path, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	if c.chat != "" {
		request.Header.Set("Coder-Chat-Id", c.chat)
	}
	if c.key != "" {
		request.Header.Set("Idempotency-Key", c.key)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	raw, err = io.ReadAll(response.Body)
	return response.StatusCode, raw, err
}

// wants makes a request that must be answered with the code.
func (c client) wants(code int, method, path, body string) map[string]any {
	c.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	got, raw, err := c.do(ctx, method, path, body)
	if err != nil {
		c.Fatal(err)
	}
	if got != code {
		c.Errorf("%s %s %s: %d %s, not %d", method, path, body, got, raw, code)
	}
	answer := map[string]any{}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if err := decoder.Decode(&answer); err != nil {
		c.Errorf("%s %s: %s: %v", method, path, raw, err)
	}
	if code >= 400 && answer["message"] == nil {
		c.Errorf("%s %s: %s has no message", method, path, raw)
	}
	return answer
}

func (c client) start(body string) (id string) {
	c.Helper()
	answer := c.wants(200, "POST", "/start", body)
	id, _ = answer["id"].(string)
	if len(id) != 36 || answer["started"] != true {
		c.Fatalf("%v", answer)
	}
	return id
}

func (c client) list() (processes []map[string]any) {
	c.Helper()
	all, ok := c.wants(200, "GET", "/list", "")["processes"].([]any)
	if !ok {
		c.Fatal("processes is no list")
	}
	for _, one := range all {
		processes = append(processes, one.(map[string]any))
	}
	return processes
}

// same compares what JSON holds.
func (c client) same(got, want any) {
	c.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		c.Errorf("%s, not %s", g, w)
	}
}

func TestStartAndOutput(t *testing.T) {
	c := serve(t)
	id := c.start(`{"command": "echo $A; pwd; exit 3", "workdir": "/", "env": {"A": "a=b"}}`)
	c.same(c.wants(200, "GET", "/"+id+"/output?wait=true", ""),
		map[string]any{"output": "a=b\n/\n", "running": false, "exit_code": 3})
	c.same(c.wants(200, "GET", "/"+id+"/output", ""),
		map[string]any{"output": "a=b\n/\n", "running": false, "exit_code": 3})
}

func TestTruncatedOutput(t *testing.T) {
	c := serve(t)
	id := c.start(`{"command": "yes 0123456789abcde | head -c 100000"}`)
	answer := c.wants(200, "GET", "/"+id+"/output?wait=true", "")
	truncated, ok := answer["truncated"].(map[string]any)
	if !ok {
		t.Fatalf("%v", answer)
	}
	c.same(truncated, map[string]any{
		"original_bytes": 100000,
		"retained_bytes": len(answer["output"].(string)),
		"omitted_bytes":  100000 - 2*16384,
		"strategy":       "head_tail",
	})
}

func TestList(t *testing.T) {
	c := serve(t)
	c.same(c.list(), []any{})
	before := time.Now().Unix()
	ended := c.start(`{"command": "exit 7", "workdir": "/"}`)
	c.wants(200, "GET", "/"+ended+"/output?wait=true", "")
	running := c.start(`{"command": "exec sleep 600", "workdir": "/", "background": true}`)
	list := c.list()
	if len(list) != 2 {
		t.Fatalf("%v", list)
	}
	for i, want := range []map[string]any{
		{"id": running, "command": "exec sleep 600", "workdir": "/", "background": true, "running": true},
		{"id": ended, "command": "exit 7", "workdir": "/", "background": false, "running": false, "exit_code": 7},
	} {
		times := []string{"started_at_unix"}
		if want["running"] == false {
			times = append(times, "exited_at_unix")
		}
		for _, name := range times {
			number, _ := list[i][name].(json.Number)
			if at, err := number.Int64(); err != nil || at < before || at > time.Now().Unix() {
				t.Errorf("%s: %v", name, list[i][name])
			}
			delete(list[i], name)
		}
		c.same(list[i], want)
	}
}

func TestSignal(t *testing.T) {
	c := serve(t)
	for _, name := range []string{"kill", "terminate"} {
		id := c.start(`{"command": "exec sleep 600"}`)
		c.wants(200, "POST", "/"+id+"/signal", `{"signal": "`+name+`"}`)
		c.same(c.wants(200, "GET", "/"+id+"/output?wait=true", ""),
			map[string]any{"output": "", "running": false, "exit_code": -1})
		c.wants(409, "POST", "/"+id+"/signal", `{"signal": "`+name+`"}`)
	}
}

func TestBadInput(t *testing.T) {
	c := serve(t)
	for _, body := range []string{
		``, `x`, `[]`, `{}`, `{"command": 1}`, `{"command": ""}`, `{"command": "a\u0000b"}`, `{"command": "a"} {}`,
		`{"command": "a", "env": {"": "b"}}`, `{"command": "a", "env": {"b=c": "d"}}`, `{"command": "a", "env": {"b": "\u0000"}}`,
		`{"command": "a", "workdir": "/no/such/directory"}`,
		`{"command": "` + strings.Repeat("a", 2<<20) + `"}`,
	} {
		if len(body) < 100 {
			c.wants(400, "POST", "/start", body)
		} else if code, _, err := c.do(context.Background(), "POST", "/start", body); err == nil && code != 400 {
			t.Errorf("a long body: %d", code)
		}
	}
	id := c.start(`{"command": "exec sleep 600"}`)
	c.wants(400, "POST", "/"+id+"/signal", `{"signal": "hug"}`)
	c.wants(400, "POST", "/"+id+"/signal", ``)
	c.wants(400, "GET", "/"+id+"/output?wait=maybe", "")
	c.same(len(c.list()), 1)
}

func TestUnknown(t *testing.T) {
	c := serve(t)
	for _, id := range []string{"x", "00000000-0000-4000-8000-000000000000", strings.Repeat("0", 500), "%00"} {
		c.wants(404, "GET", "/"+id+"/output", "")
		c.wants(404, "GET", "/"+id+"/output?wait=true", "")
		c.wants(404, "POST", "/"+id+"/signal", `{"signal": "kill"}`)
	}
	c.wants(404, "GET", "/", "")
	c.wants(404, "GET", "/x/y", "")
	c.wants(404, "GET", "/x/output/y", "")
	c.wants(405, "GET", "/start", "")
	c.wants(405, "POST", "/list", "")
}

func TestChats(t *testing.T) {
	c := serve(t)
	one, two := c.as("one"), c.as("two")
	id := one.start(`{"command": "echo $CODER_CHAT_ID; exec sleep 600"}`)
	two.wants(404, "GET", "/"+id+"/output", "")
	two.wants(404, "POST", "/"+id+"/signal", `{"signal": "kill"}`)
	c.same(len(two.list()), 0)
	c.same(len(one.list()), 1)
	c.same(len(c.list()), 1)
	one.wants(200, "POST", "/"+id+"/signal", `{"signal": "terminate"}`)
	answer := one.wants(200, "GET", "/"+id+"/output?wait=true", "")
	c.same(answer["exit_code"], -1)
}

// A client that goes away while it waits leaves its process alone.
func TestClientGone(t *testing.T) {
	c := serve(t)
	id := c.start(`{"command": "exec sleep 600"}`)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if code, raw, err := c.do(ctx, "GET", "/"+id+"/output?wait=true", ""); err == nil {
		t.Errorf("%d %s", code, raw)
	}
	answer := c.wants(200, "GET", "/"+id+"/output", "")
	c.same(answer["running"], true)
}

// Shutting down ends what runs and answers the requests that wait for it.
func TestShutdown(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, listener, 10*time.Second) }()
	c := client{t, "http://" + listener.Addr().String(), "", ""}
	id := c.start(`{"command": "trap 'exit 5' TERM; sh -c 'echo ready; exec sleep 600' & wait"}`)
	for c.wants(200, "GET", "/"+id+"/output", "")["output"] != "ready\n" {
		time.Sleep(time.Millisecond)
	}
	answered := make(chan string, 1)
	go func() {
		_, raw, err := c.do(context.Background(), "GET", "/"+id+"/output?wait=true", "")
		answered <- fmt.Sprint(string(raw), err)
	}()
	// The request may come too late, which is answered by the end of its connection.
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if answer := <-answered; strings.Contains(answer, "running") && !strings.Contains(answer, `"exit_code":5`) {
		t.Error(answer)
	}
}

// A start that is asked for again starts nothing, and a cancel wins or says that it did not.
func TestKeys(t *testing.T) {
	c := serve(t)
	once := c.with("once")
	body := `{"command": "echo once; exec sleep 600"}`
	id := once.start(body)
	c.same(once.wants(200, "POST", "/start", body), map[string]any{"id": id, "started": true, "attached": true})
	once.wants(409, "POST", "/start", `{"command": "echo twice"}`)
	c.same(len(c.list()), 1)
	c.as("another chat").with("once").start(`{"command": "true"}`)

	c.same(c.wants(200, "POST", "/cancel", `{"key": "once"}`),
		map[string]any{"id": id, "started": true, "canceled": true, "exit_code": -1})
	c.same(once.wants(200, "POST", "/start", body)["id"], id)
	c.same(c.wants(200, "POST", "/cancel", `{"key": "never"}`), map[string]any{"started": false, "canceled": true})
	c.with("never").wants(409, "POST", "/start", body)
	c.wants(400, "POST", "/cancel", `{"key": ""}`)
	c.wants(405, "GET", "/cancel", "")
	c.with(strings.Repeat("k", 256)).wants(400, "POST", "/start", body)
}
