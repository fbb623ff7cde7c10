# SPDX-License-Identifier: BSD-3-Clause
"""A nursery of the tests' own, started as an administrator starts it: `pupitre nursery`.

Nothing it leaves behind survives `close`: it, its templates and their workers are ended by pidfd.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from launch import Kernel, Owner
from procs import Process, children, family, program
from pupitre.nursery import status
from pupitre.nursery.messages import Op, Row, Status, TemplateState

READY_DEADLINE = 90.0  # seconds until a template is built
STOP_DEADLINE = 10.0
DEADLINE = 20.0
USER = Owner(12345, 12345, (12345, 23456))  # somebody whom no machine knows by name
NEIGHBOUR = Owner(12346, 12346)
AS_ROOT = os.geteuid() == 0
WORKER = "pupitre-template"  # the program of a worker that a nursery forked
QUICK = ("--import", "json", "--without", "rehearse")
COLD_WORKER = "pupitre-worker"


def pupitre() -> str:
    """The command line beside the interpreter that runs the tests."""
    return str(Path(sys.executable).parent / "pupitre")


def python_of(packages: Path) -> str:
    """The interpreter of a virtual environment, by its site-packages."""
    return str(packages.parents[2] / "bin/python3")


def make_environment(place: Path, *behind: str) -> Path:
    """A virtual environment of a test's own, with the packages of other folders behind its own; its site-packages."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", "--symlinks", place], check=True, timeout=60)
    packages = next(place.glob("lib/python3*/site-packages"))
    (packages / "all.pth").write_text("".join(f"import site; site.addsitedir({each!r})\n" for each in behind))
    return packages


class Nursery:
    """`pupitre nursery` in the foreground, in a session of its own.

    `directory`: for its socket and log; must be short. `system`: for all users, as root. `options`: more of the command
    line. `socket`: where, if another nursery listened there before. `ready`: return when it can fork. `log`: where it
    writes to, instead of a file in `directory`.
    """

    def __init__(
        self,
        directory: Path,
        *options: str,
        system: bool = False,
        socket: Path | None = None,
        environment: dict[str, str] | None = None,
        prefix: Sequence[str] = (),
        ready: bool = True,
        log: BinaryIO | None = None,
    ) -> None:
        directory.mkdir(exist_ok=True)
        self.system = system
        self.socket = socket or directory / "nursery.sock"
        self.said = b""
        self.log = log or (directory / "nursery.log").open("a+b")
        words = [pupitre(), "nursery", "--socket", str(self.socket), "--config", str(self.configuration(directory))]
        words += ["--log-level", "info"] + (["--system"] if system else [])
        self.words = [*prefix, *words, *options]
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        self.environment |= environment or {}
        self.ended: list[Process] = []
        self.seconds = 0.0  # until it was ready, for whoever measured that
        self.again()
        if ready:
            try:
                self.wait_ready()
            except BaseException:
                self.close()
                raise

    @staticmethod
    def configuration(directory: Path) -> Path:
        """An empty file, so that whatever the machine's administrator wrote has no say."""
        file = directory / "nursery.toml"
        file.touch(0o600)
        return file

    def again(self) -> None:
        """Start it; once more, after it was killed."""
        self.said = b""
        self.process = subprocess.Popen(
            self.words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self.log,
            env=self.environment,
            start_new_session=True,
        )
        self.pid = self.process.pid

    # -- how it is ---

    def wait_ready(self) -> None:
        """Until it says so."""
        self.wait_said(b"ready\n", READY_DEADLINE)

    def wait_said(self, words: bytes, deadline: float) -> None:
        """Until these words are on its standard output."""
        assert self.process.stdout
        end = time.monotonic() + deadline
        while words not in self.said:
            left = end - time.monotonic()
            assert left > 0 and select.select([self.process.stdout], [], [], left)[0], self.report("is not ready")
            piece = os.read(self.process.stdout.fileno(), 4096)
            assert piece, self.report("has ended")
            self.said += piece

    def ask(self, op: Op = Op.STATUS) -> list[object]:
        """One question and all of its answer."""
        return list(status.ask(str(self.socket), op, DEADLINE)[1])

    def status(self) -> Status:
        return next(message for message in self.ask() if isinstance(message, Status))

    def rows(self) -> list[Row]:
        """The workers that it knows of."""
        return [message for message in self.ask() if isinstance(message, Row)]

    def wait_status(self, what: str, right: object, deadline: float = READY_DEADLINE) -> Status:
        """Ask again and again until `right` (called with the status) is true. There is no event for it."""
        assert callable(right)
        end = time.monotonic() + deadline
        found: Status | str
        while True:
            try:
                found = self.status()
            except status.Unreachable as error:  # not yet
                found = str(error)
            if isinstance(found, Status) and right(found):
                return found
            assert time.monotonic() < end, self.report(f"never came to this: {what}; {found}")

    def wait_template(self, other_than: int = 0) -> Status:
        """Until a template can fork that is not the one named."""
        return self.wait_status(
            "a new template",
            lambda found: any(t.state == TemplateState.READY and t.pid != other_than for t in found.templates),
        )

    def template(self) -> Process:
        """The process that forks."""
        ready = [t.pid for t in self.status().templates if t.state == TemplateState.READY]
        assert len(ready) == 1, self.report(f"has {len(ready)} templates that are ready")
        process = Process.open(ready[0])
        assert process
        return process

    def listener(self) -> Process:
        process = Process.open(self.pid)
        assert process
        return process

    def workers(self) -> list[Process]:
        """All living children of its templates."""
        found = [process for process in family(self.pid)[1:] if program(process.pid) == WORKER]
        return [process for process in found if process.name.startswith("pupitre-worker")]

    def wait_empty(self, deadline: float = DEADLINE) -> None:
        """Until no template has a child, not even a zombie."""
        end = time.monotonic() + deadline
        while True:
            left = [child for template in children(self.pid) for child in children(template)]
            if not left:
                return
            assert time.monotonic() < end, self.report(f"workers are left: {left}")

    def logged(self) -> str:
        """All that it has said so far, except on its standard output."""
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def wait_logged(self, text: str, times: int = 1, deadline: float = READY_DEADLINE) -> None:
        """Until it has said something that often. There is no event for it."""
        end = time.monotonic() + deadline
        while self.logged().count(text) < times:
            assert self.process.poll() is None and time.monotonic() < end, self.report(f"never said {text!r}")
            select.select([], [], [], 0.05)

    def report(self, what: str) -> str:
        return f"the nursery {what}\n-- it said:\n{self.logged()[-4000:]}"

    # -- its end ---

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """The listener alone, as the out-of-memory killer would; templates and workers are remembered for close."""
        self.ended += family(self.pid)[1:]
        self.process.kill()
        self.process.wait(STOP_DEADLINE)
        if self.process.stdout:
            self.process.stdout.close()

    def close(self) -> None:
        left = [*self.ended, *(family(self.pid) if self.process.poll() is None else [])]
        for process in left:
            for number in (signal.SIGKILL, signal.SIGCONT):
                try:
                    signal.pidfd_send_signal(process.pidfd, number)
                except ProcessLookupError:
                    pass
        self.process.wait(STOP_DEADLINE)
        for process in left:
            process.gone(STOP_DEADLINE)
        if self.process.stdout:
            self.process.stdout.close()
        self.log.close()


def born_in_nursery(kernel: Kernel) -> Process:
    """The worker of a kernel that a nursery forked. Fails if it was started cold."""
    worker = kernel.worker
    running = program(worker.pid)
    assert running == WORKER and worker.name.startswith("pupitre-worker"), (
        f"cold: {running} {worker}\n{kernel.report()}"
    )
    parent = int(Path(f"/proc/{worker.pid}/stat").read_text().rpartition(")")[2].split()[1])
    assert parent != kernel.pid
    return worker


def started_cold(kernel: Kernel) -> Process:
    """The worker of a kernel that no nursery forked. Fails otherwise."""
    worker = kernel.worker
    assert program(worker.pid) == COLD_WORKER, f"not cold: {program(worker.pid)} {worker}\n{kernel.report()}"
    return worker


# The fixtures of conftest.py.
Start = Callable[..., Kernel]
Begin = Callable[..., Nursery]
Prepare = Callable[[Path], dict[str, Any]]
