# SPDX-License-Identifier: BSD-3-Clause
"""Trouble of the moment: a nursery that has no space, no memory or no processes, or whose package is half written,
tries again by itself until it is ready, and serves from what it had meanwhile.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

import pytest
from nursery import AS_ROOT, QUICK, USER, Begin, Nursery, Start, python_of
from pupitre import cgroups
from pupitre.hub import make_parent, settings

PATIENCE = 60.0  # seconds for a few pauses


def test_a_half_written_package(begin: Begin, environment: Path) -> None:
    package = environment / "half"
    package.mkdir()
    (package / "__init__.py").write_text("from .rest import value\n")
    nursery = begin("--python", python_of(environment), "--import", "half", "--without", "rehearse", ready=False)
    nursery.wait_logged('event=template_unfit why="cannot import half: ', 2)
    (package / "rest.py").write_text("value = 1\n")
    nursery.wait_ready()


def test_a_package_that_is_half_written_later(begin: Begin, start: Start, environment: Path) -> None:
    """Even one that is not there at all: what was ready goes on, and the next one comes by itself."""
    package = environment / "half"
    package.mkdir()
    (package / "__init__.py").write_text("value = 1\n")
    nursery = begin("--python", python_of(environment), "--import", "half", "--without", "rehearse")
    first = nursery.template().pid
    package.rename(environment.parent / "half")
    nursery.signal(signal.SIGHUP)
    nursery.wait_logged("event=template_unfit", 2)
    assert nursery.template().pid == first
    (environment.parent / "half").rename(package)
    nursery.wait_template(other_than=first)
    kernel = start(nursery, env={"PUPITRE_PYTHON": python_of(environment)})
    assert kernel.client().evaluate("__import__('half').value") == 1


if AS_ROOT:

    @pytest.fixture
    def disk(directory: Path) -> Iterator[Path]:
        """A small file system of the nursery's own, for its socket and home."""
        folder = directory / "n"
        folder.mkdir()
        options = "size=256k,nr_inodes=100,mode=700"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)
        yield folder
        subprocess.run(["umount", "--lazy", folder], check=True)

    @contextmanager
    def full(disk: Path) -> Iterator[None]:
        """Not a byte and not a file more."""
        Nursery.configuration(disk)
        (disk / "nursery.log").touch()
        made: list[Path] = []
        try:
            with (disk / "filler").open("wb", buffering=0) as file:
                while file.write(b"x" * 4096) == 4096:
                    pass
        except OSError:
            pass
        try:
            for number in count():
                made.append(disk / f"f{number}")
                made[-1].touch()
        except OSError:
            pass
        yield
        for path in (disk / "filler", *made):
            path.unlink(missing_ok=True)

    def test_no_space(disk: Path, directory: Path, begin: Begin) -> None:
        with full(disk), (directory / "said").open("a+b") as said:
            nursery = begin(*QUICK, ready=False, log=said)
            nursery.wait_logged("No space left on device; trying again in ", 2)
        nursery.wait_ready()

    def test_no_space_later(disk: Path, directory: Path, begin: Begin, start: Start) -> None:
        with (directory / "said").open("a+b") as said:
            nursery = begin(*QUICK, log=said)
            first = nursery.template().pid
            with full(disk):
                nursery.signal(signal.SIGHUP)
                nursery.wait_logged("No space left on device", 2)
                assert nursery.template().pid == first
                assert start(nursery).client().evaluate("1 + 1") == 2
            nursery.wait_template(other_than=first)

    @pytest.fixture
    def group() -> Iterator[cgroups.Group]:
        """A cgroup that limits memory."""
        ours = cgroups.group_of("memory")
        assert ours
        parent = make_parent(ours)
        made = parent._replace(folder=parent.folder / f"trouble-{os.getpid()}")
        made.folder.mkdir()
        yield made
        end = time.monotonic() + PATIENCE
        while (made.folder / "cgroup.procs").read_text():
            assert time.monotonic() < end, "somebody is left in the cgroup"
            select.select([], [], [], 0.05)
        made.folder.rmdir()

    def limit(group: cgroups.Group, size: int | None) -> None:
        for file, text in settings(group, size):
            if (group.folder / file).exists():
                (group.folder / file).write_text(text)

    def test_no_memory(group: cgroups.Group, begin: Begin) -> None:
        """Linux kills the template, or what it tries an import in."""
        limit(group, 45 << 20)
        enter = ("sh", "-c", f'echo 0 > {group.folder}/cgroup.procs && exec "$@"', "sh")
        nursery = begin("--import", "numpy,pandas", "--without", "rehearse", ready=False, prefix=enter)
        nursery.wait_logged("event=template_ended", 2)
        limit(group, None)
        nursery.wait_ready()
        nursery.close()

    PROCESSES = 9

    @contextmanager
    def no_processes() -> Iterator[None]:
        """As many of the user's as there may be."""
        with ExitStack() as stack:
            for _ in range(PROCESSES):
                process = stack.enter_context(subprocess.Popen(["sleep", "600"], **USER.process()))
                stack.callback(process.kill)
            yield

    @pytest.fixture
    def as_user(directory: Path) -> Callable[[Begin], Nursery]:
        """A nursery of a user who may have few processes."""

        def start(begin: Begin, **more: bool) -> Nursery:
            folder = directory / "n"
            folder.mkdir()
            Nursery.configuration(folder)
            USER.give(folder)
            become = ["setpriv", f"--reuid={USER.uid}", f"--regid={USER.gid}", "--clear-groups"]
            return begin(*QUICK, prefix=[*become, "prlimit", f"--nproc={PROCESSES}"], **more)

        return start

    def test_no_processes(begin: Begin, as_user: Callable[..., Nursery]) -> None:
        with no_processes():
            nursery = as_user(begin, ready=False)
            nursery.wait_logged("Resource temporarily unavailable; trying again in ", 2)
        nursery.wait_ready()

    def test_no_processes_later(begin: Begin, as_user: Callable[..., Nursery]) -> None:
        nursery = as_user(begin)
        first = nursery.template().pid
        with no_processes():
            nursery.signal(signal.SIGHUP)
            nursery.wait_logged("event=template_build pid=-1 errno=11", 2)
        nursery.wait_template(other_than=first)
