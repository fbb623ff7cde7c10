# SPDX-License-Identifier: BSD-3-Clause
"""The packages are in an environment on top of .venv, which scripts/setup makes of requirements.txt."""

from __future__ import annotations

import platform
import shutil
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from launch import Kernel
from nursery import Begin, Nursery, Start, born_in_nursery, make_environment

DEADLINE = 240.0  # seconds until so much is imported and rehearsed
PYTHON = Path(sys.prefix) / "courses/bin/python3"
TABLE = pytest.StashKey[list[str]]()


@pytest.fixture
def directory() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="pp-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def environment(directory: Path) -> Path:
    """A virtual environment of the test's own, with these packages and ours behind its own; its site-packages."""
    courses = next(PYTHON.parents[1].glob("lib/python3*/site-packages"))
    return make_environment(directory / "venv", str(courses), sysconfig.get_path("purelib"))


@pytest.fixture
def begin(directory: Path) -> Iterator[Begin]:
    """begin(*options): a nursery of these packages, which ends with the test."""
    running: list[Nursery] = []

    def start(*options: str) -> Nursery:
        begun = time.monotonic()
        running.append(Nursery(directory / "n", "--python", str(PYTHON), *options, ready=False))
        running[-1].wait_said(b"ready\n", DEADLINE)
        running[-1].seconds = time.monotonic() - begun
        return running[-1]

    yield start
    for nursery in running:
        nursery.close()


@pytest.fixture
def start(directory: Path) -> Iterator[Start]:
    """start(nursery): a kernel that it must fork; start(None): one that is cold."""
    kernels: list[Kernel] = []

    def begin(nursery: Nursery | None) -> Kernel:
        home = directory / f"k{len(kernels)}"
        home.mkdir()
        env = {"HOME": str(home), "PUPITRE_PYTHON": str(PYTHON)}
        kernel = Kernel(home, env=env | {"PUPITRE_NURSERY": str(nursery.socket) if nursery else "off"})
        kernels.append(kernel)
        if nursery is not None:
            born_in_nursery(kernel)
        return kernel

    yield begin
    for kernel in kernels:
        kernel.close()


@pytest.fixture
def table(pytestconfig: pytest.Config) -> list[str]:
    """Lines that are printed at the end: what each set of packages costs."""
    return pytestconfig.stash.setdefault(TABLE, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    terminalreporter.section(f"private MB of a kernel, CPython {platform.python_version()}")
    for line in config.stash.get(TABLE, []):
        terminalreporter.write_line(line)
