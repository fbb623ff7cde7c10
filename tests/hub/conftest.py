# SPDX-License-Identifier: BSD-3-Clause
"""A machine as a school has it: JupyterHub run by root, Unix users, a server and a kernel for each."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from accounts import Account, accounts
from classroom import Classroom, Nursery
from hub import Hub, Kernel


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
        linked = subprocess.run(["cp", "-al", own, copy], capture_output=True, timeout=300)
        if linked.returncode != 0:  # on another file system
            subprocess.run(["cp", "-a", own, place], check=True, timeout=300)
            copy = place / own.name
        own = copy
        assert usable_by_all(own / "bin/python3"), f"users cannot run {os.path.realpath(sys.executable)}"
    return own / "bin/python3"


@pytest.fixture(scope="session", params=["cold", "nursery"])
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
