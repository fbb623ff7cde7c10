# SPDX-License-Identifier: BSD-3-Clause
"""The students of a Hub, and the nursery that their kernels come from, if there is one."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from accounts import Account
from hub import Hub, Kernel, Student, start, stop

READY_SECONDS = 180.0  # imports and rehearsal on a busy machine


class Nursery:
    """`pupitre nursery --system`, as root, from when it can fork."""

    def __init__(self, python: Path, place: Path, *options: str) -> None:
        self.socket = place / "nursery.sock"
        command = [str(python), str(python.parent / "pupitre"), "nursery", "--system", "--socket", str(self.socket)]
        command += options
        environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/root"}
        self.process, self.log = start(command, environment, place)
        try:
            self.log.wait("ready", READY_SECONDS)
        except BaseException:
            stop(self.process)
            raise

    def stop(self) -> None:
        stop(self.process)


class Classroom:
    """The Hub, and a student with a running server for each user."""

    def __init__(self, hub: Hub, users: list[Account], nursery: Nursery | None) -> None:
        self._nursery = nursery
        self.students = [Student(hub, user) for user in users]
        with ThreadPoolExecutor(len(users)) as pool:
            list(pool.map(Student.start_server, self.students))

    def start_kernels(self) -> list[Kernel]:
        """One for each student, all at once."""
        with ThreadPoolExecutor(len(self.students)) as pool:
            return list(pool.map(Student.start_kernel, self.students))

    def check_birth(self, worker: int) -> None:
        """Forked from the nursery's template, or, where there is none, a program of its own that the kernel started."""
        parent = parent_of(worker)
        if self._nursery:
            assert program_of(worker) == "pupitre-template", f"the kernel started cold\n{self._nursery.log}"
            assert program_of(parent) == "pupitre-template"
            assert parent_of(parent) == self._nursery.process.pid
        else:
            assert program_of(worker) == "pupitre-worker"
            assert program_of(parent) == "pupitre-kernel"

    def end_nursery(self) -> None:
        """From now on there is none, if there was one."""
        if self._nursery:
            self._nursery.stop()
            self._nursery = None


def program_of(pid: int) -> str:
    return Path(os.readlink(f"/proc/{pid}/exe")).name


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
