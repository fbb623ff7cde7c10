# SPDX-License-Identifier: BSD-3-Clause
"""What /proc says of processes that may be anybody's, read by a process with nothing else in its hands.

Whoever asks for the memory of a process in execve waits until that has closed its files, and a file system of its
user's own may take for ever to close one. So a child of ours asks. When it does not go on it is abandoned, and with it
whatever else is of that user; SIGKILL may end it, or may not.
"""

from __future__ import annotations

import json
import os
import select
import signal
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

PATIENCE = 0.25  # seconds for one process
PATIENCE_IN_ALL = 0.5  # for all that do not answer
SILENT = "no answer"


class Memory(NamedTuple):
    """KiB of one process; None where /proc does not tell us."""

    private: int | None = None
    shared: int | None = None
    proportional: int | None = None
    resident: int | None = None


class Process(NamedTuple):
    """What one does, running, waiting, stopped, gone or SILENT, its memory, and its processor time in ms."""

    state: str = SILENT
    memory: Memory = Memory()
    used: int | None = None


def memory_of(pid: int) -> Memory:
    """Of a process, may wait for ever: all of it of our own ones and for root, else only how much is resident."""
    folder = Path("/proc") / str(pid)
    try:
        sizes: Counter[str] = Counter()
        for line in (folder / "smaps_rollup").read_text().splitlines()[1:]:
            name, size, *_ = line.split()
            sizes[name.rstrip(":")] += int(size)
        private = sizes["Private_Clean"] + sizes["Private_Dirty"]
        return Memory(private, sizes["Shared_Clean"] + sizes["Shared_Dirty"], sizes["Pss"], sizes["Rss"])
    except (OSError, ValueError):
        pass
    try:
        pages = int((folder / "statm").read_text().split()[1])
        return Memory(resident=pages * os.sysconf("SC_PAGE_SIZE") // 1024)
    except (OSError, ValueError, IndexError):
        return Memory()


def used_by(pid: int) -> int | None:
    """Milliseconds of processor time of a process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:13])) * 1000 // os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError):
        return None


def state_of(pid: int) -> str:
    """What a process does."""
    try:
        letter = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return "gone"
    return {"R": "running", "T": "stopped", "t": "stopped", "Z": "gone", "X": "gone"}.get(letter, "waiting")


def _read(pids: Iterable[int], pipe: int) -> None:
    """In the child: a line of JSON for each process. Nobody is to wait for what it has open."""
    os.setsid()
    os.closerange(0, pipe)
    os.closerange(pipe + 1, os.sysconf("SC_OPEN_MAX"))
    for pid in pids:
        os.write(pipe, json.dumps([pid, state_of(pid), memory_of(pid), used_by(pid)]).encode() + b"\n")


def _lines(pids: list[int]) -> Iterator[str]:
    """What a child says, until it is through or does not go on."""
    ear, mouth = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            _read(pids, mouth)
        finally:
            os._exit(0)
    os.close(mouth)
    with open(ear) as file:
        rest = ""
        while True:
            if select.select([file], [], [], PATIENCE)[0]:
                piece = os.read(ear, 65536)
                if not piece:
                    break
                *lines, rest = (rest + piece.decode()).split("\n")
                yield from lines
            elif state_of(child) != "running":  # else the machine is busy
                break
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, os.WNOHANG)


def look(processes: Iterable[tuple[int, int]]) -> dict[int, Process]:
    """Each process of (pid, uid) by its pid. Takes longer by no more than PATIENCE_IN_ALL, whatever they do."""
    left, found = list(processes), {}
    for _ in range(int(PATIENCE_IN_ALL / PATIENCE)):
        for line in _lines([pid for pid, _ in left]):
            pid, state, memory, used = json.loads(line)
            found[pid] = Process(state, Memory(*memory), used)
        silent = {uid for pid, uid in left if pid not in found}
        if not silent:
            break
        first = next(uid for pid, uid in left if pid not in found)
        left = [(pid, uid) for pid, uid in left if pid not in found and uid != first]
    return found
