"""The program of docs/hosts.md in Python: runs a command, prints its output as it comes, and prints how it ended."""

import ctypes
import os
import sys

procmgr = ctypes.CDLL(os.environ.get("PROCMGR_LIBRARY", "libprocmgr.so"))
MGR_STDOUT, MGR_READ_UNTIL_END, MGR_OK = 0, 0x200, 0

# Without these declarations ctypes passes 32 bits of each number, and takes every result for an int.
Handle, Text = ctypes.c_uint64, ctypes.c_char_p
procmgr.mgr_strerror.argtypes, procmgr.mgr_strerror.restype = [ctypes.c_int32], Text
procmgr.mgr_open.argtypes = [Handle, ctypes.POINTER(Handle)]
procmgr.mgr_request_new.argtypes = [Text, ctypes.POINTER(Handle)]
procmgr.mgr_request_lossless.argtypes = [Handle, ctypes.c_int32]
procmgr.mgr_request_free.argtypes = [Handle]
procmgr.mgr_start.argtypes = [Handle, Handle, ctypes.c_char * 37, ctypes.c_void_p]
procmgr.mgr_read.argtypes = [
    Handle, ctypes.c_char * 37, ctypes.c_int32, ctypes.POINTER(ctypes.c_uint64), ctypes.c_char_p,
    ctypes.c_size_t, ctypes.POINTER(ctypes.c_size_t), ctypes.POINTER(ctypes.c_uint64), ctypes.c_int64,
]
procmgr.mgr_wait.argtypes = [Handle, ctypes.c_char * 37, ctypes.c_int64, ctypes.c_void_p]
procmgr.mgr_release.argtypes = [Handle]


class Process(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_size_t), ("id", ctypes.c_char * 37)]
    _fields_ += [(name, ctypes.c_int32) for name in (
        "pid", "state", "exit_code", "signal", "core_dumped", "ended_by", "background", "output_open")]
    _fields_ += [(name, ctypes.c_int64) for name in ("started_at_ms", "ended_at_ms", "duration_us")]
    _fields_ += [("output_bytes", ctypes.c_uint64), ("user_us", ctypes.c_int64), ("system_us", ctypes.c_int64)]
    _fields_ += [("max_rss_kib", ctypes.c_uint64)]


def check(code):
    if code < 0:
        raise RuntimeError(procmgr.mgr_strerror(code).decode())
    return code


manager, request, id = Handle(), Handle(), (ctypes.c_char * 37)()
command = sys.argv[1] if len(sys.argv) > 1 else "echo hello; exit 3"
check(procmgr.mgr_open(0, manager))
check(procmgr.mgr_request_new(command.encode(), request))
# Lossless: the command waits for this program instead of overwriting what it has not read.
check(procmgr.mgr_request_lossless(request, 1))
check(procmgr.mgr_start(manager, request, id, None))
procmgr.mgr_request_free(request)

cursor, buffer, length = ctypes.c_uint64(0), ctypes.create_string_buffer(4096), ctypes.c_size_t()
stream = MGR_STDOUT | MGR_READ_UNTIL_END
while check(procmgr.mgr_read(manager, id, stream, cursor, buffer, len(buffer), length, None, -1)) == MGR_OK:
    sys.stdout.buffer.write(buffer.raw[:length.value])
process = Process(struct_size=ctypes.sizeof(Process))
check(procmgr.mgr_wait(manager, id, -1, ctypes.byref(process)))
sys.stdout.buffer.write(b"exit code %d\n" % process.exit_code)
procmgr.mgr_release(manager)
