package procmgr

// #include <procmgr.h>
// #include <stdlib.h>
import "C"

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unsafe"
)

// checkText refuses a text with a NUL, which C would take for its end.
func checkText(op, what, text string) error {
	if at := strings.IndexByte(text, 0); at >= 0 {
		return invalid(op, fmt.Sprintf("invalid %s: it has a NUL byte at %d", what, at))
	}
	return nil
}

// withText passes a text to a call, as C has texts.
func withText(op, what, text string, call func(*C.char) C.int32_t) error {
	if err := checkText(op, what, text); err != nil {
		return err
	}
	copied := C.CString(text)
	defer C.free(unsafe.Pointer(copied))
	return failure(op, "", call(copied), nil)
}

// cutVariable gives name and value of a variable of the form NAME=value. The name is not checked.
func cutVariable(op, variable string) (name, value string, err error) {
	name, value, found := strings.Cut(variable, "=")
	if !found {
		return "", "", invalid(op, fmt.Sprintf("invalid variable: %q has no equals sign", variable))
	}
	if strings.IndexByte(value, 0) >= 0 {
		return "", "", invalid(op, fmt.Sprintf("invalid variable: the value of %q has a NUL byte", name))
	}
	return name, value, nil
}

// withVariable passes a variable of the form NAME=value to a call.
func withVariable(op, variable string, call func(name, value *C.char) C.int32_t) error {
	name, value, err := cutVariable(op, variable)
	if err != nil {
		return err
	}
	copied := C.CString(value)
	defer C.free(unsafe.Pointer(copied))
	return withText(op, "variable", name, func(name *C.char) C.int32_t { return call(name, copied) })
}

// takeText gets a text from a call that answers MGR_ERR_BUFFER, and tells the length, when the buffer is too small. It
// may be longer each time, as the output of a running process is, but not for ever: it is bounded.
func takeText(call func(buffer *C.char, capacity C.size_t, length *C.size_t) error) (string, error) {
	buffer := make([]byte, 1024)
	for {
		var length C.size_t
		err := call((*C.char)(unsafe.Pointer(&buffer[0])), C.size_t(len(buffer)), &length)
		if err == nil {
			return string(buffer[:length]), nil
		}
		if !errors.Is(err, Code(C.MGR_ERR_BUFFER)) {
			return "", err
		}
		buffer = make([]byte, length+length/8)
	}
}

// idText gives the text of an id.
func idText(id *C.mgr_id) string {
	return C.GoString(&id.text[0])
}

// toID takes what may be an id. What is too long to be one names no process.
func toID(text string) (id C.mgr_id, ok bool) {
	if len(text) >= len(id.text) || strings.IndexByte(text, 0) >= 0 {
		return id, false
	}
	for i := range []byte(text) {
		id.text[i] = C.char(text[i])
	}
	return id, true
}

// milliseconds rounds up, so that a time is never shortened, and a short one is not none. Negative is for ever.
func milliseconds(period time.Duration) C.int64_t {
	if period < 0 {
		return -1
	}
	whole := period / time.Millisecond
	if period%time.Millisecond > 0 {
		whole++
	}
	return C.int64_t(whole)
}

// number is a yes or no as C has it.
func number(yes bool) C.int32_t {
	if yes {
		return 1
	}
	return 0
}
