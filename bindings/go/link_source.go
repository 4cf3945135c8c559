//go:build procmgr_source

package procmgr

// The library of this repository, for its own tests: CGO_LDFLAGS names the file.

// #cgo CFLAGS: -I${SRCDIR}/../../include
import "C"
