# SPDX-License-Identifier: BSD-3-Clause
"""What a kernel is made of, seen from outside through /proc and pidfds. Waiting is for an event, with a deadline."""

import ctypes
import os
import select
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

SETS = ("SigBlk", "SigIgn", "SigCgt")


@dataclass(frozen=True)
class Process:
    """One process, pinned by a pidfd so that its number cannot come to mean another."""

    pid: int
    name: str
    pidfd: int = field(compare=False)

    def __del__(self) -> None:
        os.close(self.pidfd)

    @classmethod
    def open(cls, pid: int) -> "Process | None":
        """None when it is gone already."""
        try:
            pidfd = os.pidfd_open(pid)
            return cls(pid, Path(f"/proc/{pid}/comm").read_text().strip(), pidfd)
        except OSError:
            return None

    def gone(self, seconds: float) -> bool:
        """Wait until it has ended (a zombie has)."""
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def status(self, key: str) -> list[int]:
        """One numeric line of /proc/PID/task/*/status, one value per thread."""
        values = []
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            for line in (task / "status").read_text().splitlines():
                if line.startswith(key + ":"):
                    values.append(int(line.split()[1]))
        return values

    def handles(self, number: int) -> bool:
        """Whether a signal is caught, ignored or blocked."""
        sets = [
            line.split()[1] for line in Path(f"/proc/{self.pid}/status").read_text().splitlines() if line[:6] in SETS
        ]
        return any(int(mask, 16) >> (number - 1) & 1 for mask in sets)

    def switches(self) -> int:
        """How often any of its threads was scheduled so far."""
        return sum(self.status("voluntary_ctxt_switches")) + sum(self.status("nonvoluntary_ctxt_switches"))

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def wait_descriptors(self, count: int) -> None:
        """Until it has no more than this many open."""
        end = time.monotonic() + 10
        while self.descriptors() > count:
            assert time.monotonic() < end and not self.gone(0.01), f"{self.descriptors()} descriptors, not {count}"

    def rss(self) -> int:
        """Resident bytes; 0 when it is gone."""
        try:
            fields = Path(f"/proc/{self.pid}/statm").read_text().split()
        except OSError:
            return 0
        return int(fields[1]) * os.sysconf("SC_PAGESIZE")


def children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(child) for child in task.read_text().split()]
        except OSError:
            pass
    return found


def program(pid: int) -> str:
    """The name of the file that a process runs; empty when it is gone."""
    try:
        return os.path.basename(os.readlink(f"/proc/{pid}/exe"))
    except OSError:
        return ""


def adopted(pid: int) -> list[int]:
    """The worker that a nursery forked for a front: not its child, but it holds a pidfd of it."""
    if not program(pid).startswith("pupitre-kernel"):
        return []
    found = set()
    for info in Path(f"/proc/{pid}/fdinfo").glob("*"):
        try:
            lines = info.read_text().splitlines()
        except OSError:
            continue
        found |= {int(line.split()[1]) for line in lines if line.startswith("Pid:")}
    return sorted(target for target in found if program(target) == "pupitre-template")


def family(pid: int) -> list[Process]:
    """The process and all its descendants, parents first; a worker from a nursery counts as its front's child."""
    order = [pid]
    for parent in order:
        order += [child for child in [*adopted(parent), *children(parent)] if child not in order]
    return [process for process in map(Process.open, order) if process]


def time_until_gone(processes: Iterable[Process], deadline: float) -> float:
    """Seconds until all have ended. Fails at the deadline."""
    begin = time.monotonic()
    for process in processes:
        left = begin + deadline - time.monotonic()
        assert process.gone(max(left, 0)), f"{process.name} ({process.pid}) still runs after {deadline} s"
    return time.monotonic() - begin


class FileWatch:
    """Wakes up when something happens in a file's directory (inotify)."""

    EVENTS = 0x2 | 0x8 | 0x80 | 0x100  # modified, closed after writing, moved to, created

    def __init__(self, path: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self.fd = libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        assert self.fd >= 0
        assert libc.inotify_add_watch(self.fd, os.fsencode(path.parent), self.EVENTS) >= 0

    def __enter__(self) -> "FileWatch":
        return self

    def __exit__(self, *exception: object) -> None:
        os.close(self.fd)

    def wait(self, seconds: float) -> None:
        """Return after the next event."""
        assert select.select([self.fd], [], [], seconds)[0], f"nothing was written within {seconds} s"
        os.read(self.fd, 65536)
