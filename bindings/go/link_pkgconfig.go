//go:build !procmgr_source

package procmgr

// #cgo pkg-config: procmgr
import "C"
