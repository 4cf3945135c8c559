"""Python's subprocess as a contender of the comparison (`cargo bench -p procmgr-compare`).

Does the jobs that it reads from standard input; protocol.rs describes them.
"""

import mmap
import os
import subprocess
import sys
import threading
import time

BUFFER_BYTES = 64 << 10
now = time.monotonic_ns
kept = []


def start(command):
    return subprocess.Popen(
        ["/bin/sh", "-c", command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        bufsize=0,
    )


def finish(child):
    while child.stdout.read(BUFFER_BYTES):
        pass
    child.stdout.close()
    if child.wait() != 0:
        raise RuntimeError(f"status {child.returncode}")


def start_returns(command):
    begun = now()
    child = start(command)
    took = now() - begun
    finish(child)
    return took


def spaced_start_returns(command):
    time.sleep(0.001)
    return start_returns(command)


def start_to_end(command):
    begun = now()
    finish(start(command))
    return now() - begun


def many(callers, rounds, command):
    each = rounds // callers
    ready = threading.Barrier(callers + 1)

    def call():
        ready.wait()
        for _ in range(each):
            finish(start(command))

    threads = [threading.Thread(target=call) for _ in range(callers)]
    for thread in threads:
        thread.start()
    ready.wait()
    begun = now()
    for thread in threads:
        thread.join()
    return (now() - begun) // (each * callers)


def arrivals(command):
    child = start(command)
    times = []
    while chunk := child.stdout.read(64):
        at = now()
        for i in range(0, len(chunk), 8):
            times.append(at - int.from_bytes(chunk[i : i + 8], sys.byteorder))
    finish(child)
    return times


def exit_known(command, path):
    child = start(command)
    child.wait()
    at = now()
    finish(child)
    with open(path, "rb") as file:
        return at - int.from_bytes(file.read(8), sys.byteorder)


def ballast(size):
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    for i in range(0, size, 4096):
        memory[i] = 1
    kept.append(memory)


def job(name, *fields):
    if name == "ballast":
        ballast(int(fields[0]))
        return []
    if name == "callers":
        return [many(int(fields[0]), int(fields[1]), fields[2])]
    if name == "arrival":
        return arrivals(fields[1])
    rounds = {
        "start": start_returns,
        "spaced": spaced_start_returns,
        "whole": start_to_end,
        "follow": start_to_end,
        "exit": exit_known,
    }[name]
    return [rounds(*fields[1:]) for _ in range(int(fields[0]))]


for line in sys.stdin:
    print(*job(*line.rstrip("\n").split("\t")), flush=True)
