//go:build !procmgr_source

package main

import (
	"fmt"
	"strings"
	"sync"
)

const (
	lineBytes = 2048
	cutMark   = " ... [truncated]"
)

// buffer keeps the first and the last bytes of what is written to it, as the reference system does, and gives each piece to
// a follower, if there is one.
type buffer struct {
	mu       sync.Mutex
	head     []byte
	tail     []byte
	at       int
	full     bool
	total    int
	follower func(chunk []byte)
}

func (b *buffer) Write(chunk []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	length := len(chunk)
	b.total += length
	if b.follower != nil {
		b.follower(chunk)
	}
	if room := headBytes - len(b.head); room > 0 {
		taken := min(room, len(chunk))
		b.head = append(b.head, chunk[:taken]...)
		chunk = chunk[taken:]
	}
	for len(chunk) > 0 {
		if b.tail == nil {
			b.tail = make([]byte, tailBytes)
		}
		taken := copy(b.tail[b.at:], chunk)
		chunk = chunk[taken:]
		b.at += taken
		if b.at == tailBytes {
			b.at = 0
			b.full = true
		}
	}
	return length, nil
}

// snapshot returns the bounded text, lines cut.
func (b *buffer) snapshot() string {
	b.mu.Lock()
	head := append([]byte(nil), b.head...)
	var tail []byte
	if b.full {
		tail = append(append(make([]byte, 0, tailBytes), b.tail[b.at:]...), b.tail[:b.at]...)
	} else {
		tail = append(tail, b.tail[:b.at]...)
	}
	omitted := b.total - len(head) - len(tail)
	b.mu.Unlock()

	var text strings.Builder
	text.WriteString(cutLines(string(head)))
	if omitted > 0 {
		fmt.Fprintf(&text, "\n\n... [omitted %d bytes] ...\n\n", omitted)
	}
	text.WriteString(cutLines(string(tail)))
	return text.String()
}

func cutLines(text string) string {
	var out strings.Builder
	out.Grow(len(text))
	for len(text) > 0 {
		line := text
		end := strings.IndexByte(text, '\n')
		if end >= 0 {
			line = text[:end]
			text = text[end+1:]
		} else {
			text = ""
		}
		if len(line) > lineBytes {
			out.WriteString(line[:lineBytes-len(cutMark)])
			out.WriteString(cutMark)
		} else {
			out.WriteString(line)
		}
		if end >= 0 {
			out.WriteByte('\n')
		}
	}
	return out.String()
}
