# SPDX-License-Identifier: BSD-3-Clause
"""A machine as a school has it: JupyterHub run by root, Unix users, a server and a kernel for each."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from accounts import Account, accounts
from hub import Hub, Kernel, Student, start, stop

BIRTHS = ["cold", "nursery"]


@pytest.fixture(scope="session")
def place() -> Iterator[Path]:
    """A directory that every user may enter, as pytest's own are not."""
    assert os.geteuid() == 0, "making users and becoming them needs root"
    path = Path(tempfile.mkdtemp(prefix="pupitre-hub-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def users(place: Path) -> Iterator[list[Account]]:
    with accounts(place) as made:
        yield made


def usable_by_all(python: Path) -> bool:
    """Whether a user without privileges can run it and import what is installed there."""
    command = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", str(python), "-c", "import pupitre"]
    return subprocess.run(command, capture_output=True, cwd="/", timeout=60).returncode == 0


@pytest.fixture(scope="session")
def python(place: Path) -> Path:
    """The interpreter of the environment under test; of a copy when users cannot enter the directory that it is in."""
    own = Path(sys.prefix)
    if not usable_by_all(own / "bin/python3"):
        copy = place / "prefix"
        subprocess.run(["cp", "-a", "--reflink=auto", own, copy], check=True, timeout=300)
        subprocess.run(["chmod", "-R", "a+rX", copy], check=True, timeout=60)
        own = copy
        assert usable_by_all(own / "bin/python3"), f"users cannot run {os.path.realpath(sys.executable)}"
    return own / "bin/python3"


class Nursery:
    """`pupitre nursery --system`, as root, from when it can fork."""

    def __init__(self, python: Path, place: Path) -> None:
        self.socket = place / "nursery.sock"
        command = [str(python), str(python.parent / "pupitre"), "nursery", "--system", "--socket", str(self.socket)]
        environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/root"}
        self.process, self.log = start(command, environment, place)
        try:
            self.log.wait("ready")
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


@pytest.fixture(scope="session", params=BIRTHS)
def classroom(place: Path, python: Path, users: list[Account], request: pytest.FixtureRequest) -> Iterator[Classroom]:
    """One whose kernels start cold, then one whose kernels come from a nursery."""
    with ExitStack() as stack:
        nursery = Nursery(python, place) if request.param == "nursery" else None
        if nursery:
            stack.callback(nursery.stop)
        state = Path(tempfile.mkdtemp(prefix=f"{request.param}-", dir=place))
        hub = Hub(python, state, {"PUPITRE_NURSERY": str(nursery.socket) if nursery else "off"})
        stack.callback(hub.stop)
        yield Classroom(hub, users, nursery)


@pytest.fixture(scope="session")
def kernels(classroom: Classroom) -> list[Kernel]:
    """A kernel of each student, asked for in the same moment."""
    return classroom.start_kernels()
