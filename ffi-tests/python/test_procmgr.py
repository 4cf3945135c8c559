"""procmgr through ctypes: a library loaded by its path, functions declared, commands run, and handles misused.

The path of the shared library is the first argument, or the variable PROCMGR_LIBRARY.
"""

import ctypes
import errno
import os
import random
import select
import signal
import subprocess
import sys
import threading
import time
import unittest
from ctypes import POINTER, Structure, byref, c_char, c_char_p, c_int32, c_int64, c_size_t, c_uint64, c_void_p

OK, ATTACHED, TIMEOUT, EOF, ENDED = range(5)
INVALID, HANDLE, CLOSED, NOT_FOUND, NOT_RUNNING, SPAWN = range(-1, -7, -1)
BUFFER, FORKED = -11, -13

RUNNING, EXITED, SIGNALED, LOST = range(4)
STDOUT, STDERR, UNTIL_END = 0, 1, 512
EVENT_STARTED, EVENT_ENDED, EVENT_OUTPUT_CLOSED, EVENT_READABLE = range(1, 5)

PATIENCE_MS = 60_000


class Id(Structure):
    _fields_ = [("text", c_char * 37)]


class Sized(Structure):
    """A struct that begins with its size."""

    def __init__(self):
        super().__init__(struct_size=ctypes.sizeof(self))


class Error(Sized):
    _fields_ = [
        ("struct_size", c_size_t),
        ("code", c_int32),
        ("os_error", c_int32),
        ("step", c_int32),
        ("message", c_char * 500),
    ]


class Process(Sized):
    _fields_ = [
        ("struct_size", c_size_t),
        ("id", Id),
        ("pid", c_int32),
        ("state", c_int32),
        ("exit_code", c_int32),
        ("signal", c_int32),
        ("core_dumped", c_int32),
        ("ended_by", c_int32),
        ("background", c_int32),
        ("output_open", c_int32),
        ("started_at_ms", c_int64),
        ("ended_at_ms", c_int64),
        ("duration_us", c_int64),
        ("output_bytes", c_uint64),
        ("user_us", c_int64),
        ("system_us", c_int64),
        ("max_rss_kib", c_uint64),
    ]


class Event(Sized):
    _fields_ = [
        ("struct_size", c_size_t),
        ("kind", c_int32),
        ("stream", c_int32),
        ("missed", c_uint64),
        ("id", Id),
    ]


def load(path):
    # use_errno: ctypes.get_errno() gives what the library left in errno.
    library = ctypes.CDLL(path, use_errno=True)

    def declare(name, *arguments, result=c_int32):
        function = getattr(library, name)
        # Without these ctypes cuts 64-bit arguments.
        function.argtypes = arguments
        function.restype = result

    declare("mgr_strerror", c_int32, result=c_char_p)
    declare("mgr_version", result=c_char_p)
    declare("mgr_open", c_uint64, POINTER(c_uint64))
    declare("mgr_scope", c_uint64, c_char_p, POINTER(c_uint64))
    declare("mgr_close", c_uint64)
    declare("mgr_release", c_uint64)
    declare("mgr_request_new", c_char_p, POINTER(c_uint64))
    declare("mgr_request_free", c_uint64)
    declare("mgr_request_variable", c_uint64, c_char_p, c_char_p)
    declare("mgr_request_directory", c_uint64, c_char_p)
    declare("mgr_start", c_uint64, c_uint64, POINTER(Id), POINTER(Error))
    declare("mgr_list", c_uint64, POINTER(Process), c_size_t, POINTER(c_size_t))
    declare("mgr_inspect", c_uint64, c_char_p, POINTER(Process))
    declare("mgr_wait", c_uint64, c_char_p, c_int64, POINTER(Process))
    declare(
        "mgr_read",
        c_uint64,
        c_char_p,
        c_int32,
        POINTER(c_uint64),
        c_void_p,
        c_size_t,
        POINTER(c_size_t),
        POINTER(c_uint64),
        c_int64,
    )
    declare("mgr_output", c_uint64, c_char_p, c_int32, c_char_p, c_size_t, POINTER(c_size_t), c_void_p)
    declare("mgr_command", c_uint64, c_char_p, c_char_p, c_size_t, POINTER(c_size_t))
    declare("mgr_signal", c_uint64, c_char_p, c_int32)
    declare("mgr_stop", c_uint64, c_char_p, c_int64, POINTER(Process))
    declare("mgr_events_open", c_uint64, POINTER(c_uint64))
    declare("mgr_events_release", c_uint64)
    declare("mgr_events_next", c_uint64, c_int64, POINTER(Event))
    declare("mgr_events_descriptor", c_uint64, POINTER(c_int32))
    declare("mgr_events_watch", c_uint64, c_uint64, c_char_p, c_int32, c_uint64)
    return library


class Case(unittest.TestCase):
    """A test with a manager."""

    def setUp(self):
        self.manager = c_uint64()
        self.ok(mgr.mgr_open(0, byref(self.manager)))
        self.addCleanup(mgr.mgr_release, self.manager)

    def code(self, expected, actual):
        self.assertEqual(mgr.mgr_strerror(expected), mgr.mgr_strerror(actual))

    def ok(self, actual):
        self.code(OK, actual)

    def start(self, command, **variables):
        request, id = c_uint64(), Id()
        self.ok(mgr.mgr_request_new(command, byref(request)))
        for name, value in variables.items():
            self.ok(mgr.mgr_request_variable(request, os.fsencode(name), value))
        self.ok(mgr.mgr_start(self.manager, request, byref(id), None))
        self.ok(mgr.mgr_request_free(request))
        self.assertEqual(36, len(id.text))
        return id.text

    def wait(self, id):
        process = Process()
        self.ok(mgr.mgr_wait(self.manager, id, PATIENCE_MS, byref(process)))
        return process

    def read(self, id, cursor, timeout=PATIENCE_MS, flags=0):
        """One chunk: the code and the bytes. Moves the cursor."""
        buffer, length = ctypes.create_string_buffer(4096), c_size_t()
        code = mgr.mgr_read(
            self.manager, id, STDOUT | flags, byref(cursor), buffer, len(buffer), byref(length), None, timeout
        )
        return code, buffer.raw[: length.value]

    def output(self, id):
        length = c_size_t()
        code = mgr.mgr_output(self.manager, id, STDOUT, None, 0, byref(length), None)
        self.code(BUFFER if length.value else OK, code)
        buffer = ctypes.create_string_buffer(length.value + 1)
        self.ok(mgr.mgr_output(self.manager, id, STDOUT, buffer, len(buffer), None, None))
        # The library adds the NUL.
        return buffer.value.decode("utf-8")


class Test(Case):
    def test_a_command_to_its_end(self):
        id = self.start(b"echo hello $WHO; exit 3", WHO=b"world")
        process = self.wait(id)
        self.assertEqual((EXITED, 3, 0), (process.state, process.exit_code, process.signal))
        self.assertEqual(id, process.id.text)
        self.assertEqual(len("hello world\n"), process.output_bytes)
        self.assertEqual("hello world\n", self.output(id))
        count = c_size_t()
        all = (Process * 2)()
        all[0].struct_size = ctypes.sizeof(Process)
        self.ok(mgr.mgr_list(self.manager, all, 2, byref(count)))
        self.assertEqual((1, id), (count.value, all[0].id.text))

    def test_following(self):
        id = self.start(b"for i in 1 2 3; do echo $i; sleep 0.02; done; sleep 300 & printf end")
        cursor, text = c_uint64(), b""
        while True:
            code, chunk = self.read(id, cursor, flags=UNTIL_END)
            if code != OK:
                break
            text += chunk
        # It has ended; a survivor still holds the output open.
        self.code(ENDED, code)
        self.assertEqual(b"1\n2\n3\nend", text)
        self.code(TIMEOUT, self.read(id, cursor, timeout=0)[0])
        self.ok(mgr.mgr_signal(self.manager, id, signal.SIGTERM))
        self.code(EOF, self.read(id, cursor)[0])

    def test_bytes_that_are_no_text(self):
        command = b"printf '%s' '\xff\xfe\x80(' \"$V\""
        id = self.start(command, V=b"\xc3")
        self.wait(id)
        cursor = c_uint64()
        self.assertEqual((OK, b"\xff\xfe\x80(\xc3"), self.read(id, cursor))
        self.assertEqual("\ufffd\ufffd\ufffd(\ufffd", self.output(id))
        buffer = ctypes.create_string_buffer(200)
        self.ok(mgr.mgr_command(self.manager, id, buffer, len(buffer), None))
        self.assertEqual(command, buffer.value)

    def test_a_failed_start(self):
        request, error = c_uint64(), Error()
        self.ok(mgr.mgr_request_new(b":", byref(request)))
        self.ok(mgr.mgr_request_directory(request, b"/nowhere/at/all"))
        code = mgr.mgr_start(self.manager, request, None, byref(error))
        self.assertEqual(errno.ENOENT, ctypes.get_errno())
        self.code(SPAWN, code)
        self.assertEqual((SPAWN, errno.ENOENT), (error.code, error.os_error))
        self.assertIn(b"/nowhere/at/all", error.message)
        self.ok(mgr.mgr_request_free(request))

    def test_misused_handles(self):
        process = Process()
        id = self.start(b"exec sleep 300")
        stale = c_uint64()
        self.ok(mgr.mgr_scope(self.manager, b"me", byref(stale)))
        self.ok(mgr.mgr_release(stale))
        request = c_uint64()
        self.ok(mgr.mgr_request_new(b":", byref(request)))
        numbers = [0, 2**64 - 1, stale.value, request.value, self.manager.value << 32]
        numbers += [random.getrandbits(64) for _ in range(1000)]
        for bad in numbers:
            self.code(HANDLE, mgr.mgr_inspect(bad, id, byref(process)))
            self.code(HANDLE, mgr.mgr_wait(bad, id, -1, byref(process)))
            self.code(HANDLE, mgr.mgr_signal(bad, id, signal.SIGKILL))
            self.code(HANDLE, mgr.mgr_close(bad))
            self.code(HANDLE, mgr.mgr_release(bad))
            self.code(HANDLE, mgr.mgr_events_release(bad))
        self.code(HANDLE, mgr.mgr_request_free(self.manager))
        self.ok(mgr.mgr_request_free(request))
        self.code(HANDLE, mgr.mgr_request_free(request))
        self.code(INVALID, mgr.mgr_inspect(self.manager, None, byref(process)))
        for bad in [b"", b"x", b"\xff" * 36, b"00000000-0000-4000-8000-000000000000"]:
            self.code(NOT_FOUND, mgr.mgr_inspect(self.manager, bad, byref(process)))
        self.code(INVALID, mgr.mgr_inspect(self.manager, id, None))
        # A struct without its size is refused.
        process.struct_size = 0
        self.code(INVALID, mgr.mgr_inspect(self.manager, id, byref(process)))
        process = Process()
        # All of this did nothing to the process.
        self.ok(mgr.mgr_inspect(self.manager, id, byref(process)))
        self.assertEqual(RUNNING, process.state)
        self.ok(mgr.mgr_stop(self.manager, id, 1000, byref(process)))
        self.assertEqual((SIGNALED, signal.SIGTERM), (process.state, process.signal))
        self.code(NOT_RUNNING, mgr.mgr_signal(self.manager, id, signal.SIGTERM))

    def test_events_with_select(self):
        events, descriptor = c_uint64(), c_int32(-1)
        self.ok(mgr.mgr_events_open(self.manager, byref(events)))
        self.addCleanup(mgr.mgr_events_release, events)
        self.ok(mgr.mgr_events_descriptor(events, byref(descriptor)))
        cursors, texts = {}, {}
        for number in range(3):
            id = self.start(b"for i in 1 2 3; do echo $N; sleep 0.01; done", N=b"%d" % number)
            cursors[id], texts[id] = c_uint64(), b""
            self.ok(mgr.mgr_events_watch(events, self.manager, id, STDOUT, 0))
        followed, event = set(cursors), Event()
        while followed:
            ready, _, _ = select.select([descriptor.value], [], [], PATIENCE_MS / 1000)
            self.assertTrue(ready, "no event came")
            while (code := mgr.mgr_events_next(events, 0, byref(event))) == OK:
                if event.kind != EVENT_READABLE:
                    continue
                id = event.id.text
                while (chunk := self.read(id, cursors[id], timeout=0, flags=UNTIL_END))[0] == OK:
                    texts[id] += chunk[1]
                if chunk[0] == TIMEOUT:
                    self.ok(mgr.mgr_events_watch(events, self.manager, id, STDOUT, cursors[id].value))
                else:
                    self.assertIn(chunk[0], (ENDED, EOF))
                    followed.remove(id)
            self.code(TIMEOUT, code)
        self.assertEqual([b"0\n" * 3, b"1\n" * 3, b"2\n" * 3], sorted(texts.values()))

    def test_a_thread_that_waits_while_another_closes(self):
        id, answers = self.start(b"exec sleep 300"), []

        def wait():
            # ctypes releases the interpreter while this blocks.
            answers.append(mgr.mgr_wait(self.manager, id, -1, None))

        threads = [threading.Thread(target=wait) for _ in range(4)]
        for thread in threads:
            thread.start()
        self.ok(mgr.mgr_close(self.manager))
        for thread in threads:
            thread.join()
        self.assertEqual([OK] * 4, answers)
        request = c_uint64()
        self.ok(mgr.mgr_request_new(b":", byref(request)))
        self.code(CLOSED, mgr.mgr_start(self.manager, request, None, None))
        self.ok(mgr.mgr_request_free(request))

    def test_a_fork(self):
        id = self.start(b"exec sleep 300")
        child = os.fork()
        if child == 0:
            process = Process()
            forked = [
                mgr.mgr_inspect(self.manager, id, byref(process)),
                mgr.mgr_open(0, byref(c_uint64())),
                mgr.mgr_signal(self.manager, id, signal.SIGKILL),
                mgr.mgr_release(self.manager),
            ]
            os._exit(0 if forked == [FORKED] * 4 else 1)
        self.assertEqual(0, os.waitpid(child, 0)[1])
        process = Process()
        self.ok(mgr.mgr_inspect(self.manager, id, byref(process)))
        self.assertEqual(RUNNING, process.state)


class Host(Case):
    """A host with handlers, threads, children and forked copies of its own."""

    def set_handler(self, number, handler):
        self.addCleanup(signal.signal, number, signal.signal(number, handler))

    def in_threads(self, count, work):
        """Runs work in threads, while this one, the only one in which Python runs handlers, waits."""
        failures = []

        def run():
            try:
                work()
            except BaseException as failure:
                failures.append(failure)

        threads = [threading.Thread(target=run) for _ in range(count)]
        for thread in threads:
            thread.start()
        end = time.monotonic() + PATIENCE_MS / 1000
        for thread in threads:
            while thread.is_alive():
                self.assertLess(time.monotonic(), end, "a thread hangs")
                thread.join(0.01)
        if failures:
            raise failures[0]

    def check_end(self, process, state, value, may_be_lost):
        """How it ended: an exit code, or a signal."""
        if may_be_lost and process.state == LOST:
            self.assertEqual((-1, 0), (process.exit_code, process.signal))
        elif state == EXITED:
            self.assertEqual((EXITED, value, 0), (process.state, process.exit_code, process.signal))
        else:
            self.assertEqual((SIGNALED, -1, value), (process.state, process.exit_code, process.signal))
        return process.state == LOST

    def check_works(self, may_be_lost):
        """Start, output, status, TERM, stop. Gives how many ends are lost."""
        id = self.start(b"echo out; echo err >&2; read -r line || echo end; exit 7")
        lost = self.check_end(self.wait(id), EXITED, 7, may_be_lost)
        self.assertEqual("out\nerr\nend\n", self.output(id))
        self.code(NOT_RUNNING, mgr.mgr_signal(self.manager, id, signal.SIGTERM))
        id = self.start(b"echo ready; exec sleep 300")
        self.assertEqual((OK, b"ready\n"), self.read(id, c_uint64()))
        self.ok(mgr.mgr_signal(self.manager, id, signal.SIGTERM))
        lost += self.check_end(self.wait(id), SIGNALED, signal.SIGTERM, may_be_lost)
        id = self.start(b"trap '' TERM; setsid sleep 300 & echo ready; while :; do sleep 300; done")
        self.assertEqual((OK, b"ready\n"), self.read(id, c_uint64()))
        process = Process()
        self.ok(mgr.mgr_stop(self.manager, id, 50, byref(process)))
        lost += self.check_end(process, SIGNALED, signal.SIGKILL, may_be_lost)
        return lost

    def test_handlers(self):
        got = []
        numbers = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD, signal.SIGPIPE]
        for number in numbers:
            self.set_handler(number, lambda number, frame: got.append(number))
        self.in_threads(4, lambda: self.check_works(False))
        # Python itself ignores SIGXFSZ; this thread, which starts the child, blocks something too.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
        self.addCleanup(signal.pthread_sigmask, signal.SIG_UNBLOCK, [signal.SIGUSR2])
        id = self.start(b"exec cat /proc/self/status")
        self.wait(id)
        fields = dict(line.split(":", 1) for line in self.output(id).splitlines())
        self.assertEqual(0, int(fields["SigBlk"], 16))
        self.assertEqual(0, int(fields["SigIgn"], 16) & 0x7FFFFFFF)
        id = self.start(b"exec ls /proc/self/fd")
        self.wait(id)
        self.assertEqual("0\n1\n2\n3\n", self.output(id))
        # Its own signals come to it, whatever threads of the library there are.
        for number in numbers:
            before = got.count(number)
            os.kill(os.getpid(), number)
            end = time.monotonic() + PATIENCE_MS / 1000
            while got.count(number) == before:
                self.assertLess(time.monotonic(), end, number)
                time.sleep(0.001)

    def test_a_handler_that_reaps_everybody(self):
        reaped, lost = [], []

        def reap(number, frame):
            try:
                while (child := os.waitpid(-1, os.WNOHANG)[0]) != 0:
                    reaped.append(child)
            except ChildProcessError:
                pass

        self.set_handler(signal.SIGCHLD, reap)
        self.in_threads(4, lambda: lost.extend(self.check_works(True) for _ in range(10)))
        print(f"{sum(lost)} of {3 * len(lost)} ends were lost", file=sys.stderr)
        self.ok(mgr.mgr_close(self.manager))
        # No child is left.
        with self.assertRaises(ChildProcessError):
            while os.waitpid(-1, 0):
                pass

    def test_children_of_its_own(self):
        def work():
            for _ in range(5):
                own = subprocess.Popen(["sh", "-c", "read -r line; exit 5"], stdin=subprocess.PIPE)
                self.assertEqual(0, self.check_works(False))
                own.communicate(b"go\n")
                self.assertEqual(5, own.returncode)

        self.in_threads(4, work)

    def test_copies_while_threads_wait(self):
        id, answers = self.start(b"echo ready; exec sleep 300"), []
        self.assertEqual((OK, b"ready\n"), self.read(id, c_uint64()))
        cursor = c_uint64(6)
        threads = [
            threading.Thread(target=lambda: answers.append(mgr.mgr_wait(self.manager, id, -1, None))),
            threading.Thread(target=lambda: answers.append(self.read(id, cursor)[0])),
        ]
        for thread in threads:
            thread.start()
        for _ in range(5):
            child = os.fork()
            if child == 0:
                signal.alarm(PATIENCE_MS // 1000)
                forked = [
                    mgr.mgr_open(0, byref(c_uint64())),
                    mgr.mgr_inspect(self.manager, id, byref(Process())),
                    mgr.mgr_wait(self.manager, id, -1, None),
                    mgr.mgr_signal(self.manager, id, signal.SIGKILL),
                    mgr.mgr_stop(self.manager, id, 0, None),
                    mgr.mgr_close(self.manager),
                    mgr.mgr_release(self.manager),
                ]
                os._exit(0 if forked == [FORKED] * len(forked) else 1)
            self.assertEqual(0, os.waitpid(child, 0)[1])
            self.assertEqual(0, self.check_works(False))
        process = Process()
        self.ok(mgr.mgr_inspect(self.manager, id, byref(process)))
        self.assertEqual(RUNNING, process.state)
        self.ok(mgr.mgr_close(self.manager))
        for thread in threads:
            thread.join()
        self.assertEqual([OK, EOF], sorted(answers))


if __name__ == "__main__":
    arguments = sys.argv[1:]
    path = arguments.pop(0) if arguments else os.environ.get("PROCMGR_LIBRARY")
    if not path:
        sys.exit("usage: test_procmgr.py LIBPROCMGR.SO [unittest's arguments]")
    mgr = load(path)
    unittest.main(argv=[sys.argv[0], *arguments])
