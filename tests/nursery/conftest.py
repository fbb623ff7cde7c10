# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures: `nursery` is there for the whole run, per user and, for root, for all users; `start` starts kernels that it
must fork, `begin` a nursery of the test's own.
"""

from __future__ import annotations

import shutil
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from launch import Kernel
from nursery import AS_ROOT, QUICK, USER, Begin, Nursery, Prepare, Start, born_in_nursery, make_environment

MODES = ["user", "system"] if AS_ROOT else ["user"]
ROOMY = ("--max-per-user", "1000", "--max-total", "2000", "--burst", "1000")


def short_directory() -> Path:
    """A socket's path may have 107 bytes; users of all kinds pass through."""
    path = Path(tempfile.mkdtemp(prefix="pn-"))
    path.chmod(0o755)
    return path


@pytest.fixture
def directory() -> Iterator[Path]:
    path = short_directory()
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def environment(directory: Path) -> Path:
    """A virtual environment of the test's own, with all packages of ours behind its own; its site-packages."""
    return make_environment(directory / "venv", sysconfig.get_path("purelib"))


def session(*options: str, system: bool) -> Iterator[Nursery]:
    directory = short_directory()
    running = Nursery(directory / "n", *ROOMY, *options, system=system)
    yield running
    running.close()
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session", params=MODES)
def nursery(request: pytest.FixtureRequest) -> Iterator[Nursery]:
    """With the usual packages and all tricks."""
    yield from session(system=request.param == "system")


@pytest.fixture(scope="session", params=MODES)
def bare(request: pytest.FixtureRequest) -> Iterator[Nursery]:
    """With little in it, so that a new template is built in a moment: one that may be killed."""
    yield from session(*QUICK, system=request.param == "system")


@pytest.fixture
def kernels(directory: Path, request: pytest.FixtureRequest) -> Iterator[list[Kernel]]:
    """Every kernel of the test; ended with it."""
    started: list[Kernel] = []
    yield started
    for kernel in started:
        kernel.close()


def surroundings(nursery: Nursery | None, home: Path) -> dict[str, Any]:
    """Options of a kernel that asks this nursery; in a nursery for all users, as a user that is not root."""
    env = {"PUPITRE_NURSERY": str(nursery.socket) if nursery else "off", "HOME": str(home)}
    return {"env": env, "owner": USER if nursery and nursery.system else None}


@pytest.fixture
def start(directory: Path, kernels: list[Kernel]) -> Start:
    """start(nursery, **options of Kernel): one more; `cold`: it need not be the nursery's; `prepare`: called with
    its home, for more options.
    """

    def begin(
        nursery: Nursery | None, *, cold: bool = False, prepare: Prepare = lambda _: {}, **options: Any
    ) -> Kernel:
        home = directory / f"k{len(kernels)}"
        home.mkdir()
        options |= prepare(home)
        usual = surroundings(nursery, home)
        env = {**usual.pop("env"), **(options.pop("env", None) or {})}
        kernel = Kernel(home, env=env, **{**usual, **options})
        kernels.append(kernel)
        if not cold:
            born_in_nursery(kernel)
        return kernel

    return begin


@pytest.fixture
def begin(directory: Path) -> Iterator[Begin]:
    """begin(*options, **more of Nursery): a nursery that ends with the test."""
    running: list[Nursery] = []

    def start(*options: str, **more: Any) -> Nursery:
        running.append(Nursery(directory / "n", *ROOMY, *options, **more))
        return running[-1]

    yield start
    for nursery in running:
        nursery.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    report: pytest.TestReport = yield
    if report.failed:
        for kernel in Kernel.live:
            report.sections.append(("messages", kernel.report()))
    return report
