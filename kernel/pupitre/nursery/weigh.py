# SPDX-License-Identifier: BSD-3-Clause
"""Starts kernels of a kind, takes them through a lesson, and says what each costs, stage by stage.

Sizes are in MiB per kernel. A kernel is every process of it: a worker that a nursery forked is no child of its front.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pupitre.nursery import glance
from pupitre.nursery.classroom import Step
from pupitre.nursery.wire import Client, NoAnswer

START_SECONDS = 120.0
SETTLE_SECONDS = 4.0  # after a stage: what a kernel does once it is idle is done
END_SECONDS = 10.0
SAMPLES = 5  # of what is available: other programs breathe
CHANNELS = ("shell", "iopub", "stdin", "control", "hb")


class Trouble(Exception):
    """Kernels could not be weighed; the text is the line the user reads."""


@dataclass(frozen=True)
class Kind:
    """What is compared: how such a kernel is started. `{connection_file}` in argv is replaced."""

    name: str
    argv: list[str]
    environment: dict[str, str] = field(default_factory=dict)  # on top of ours


@dataclass(frozen=True)
class Weight:
    """What one kernel costs, the mean of several."""

    private: float  # pages that no other process has
    proportional: float  # the same and its part of what is shared
    tables: float  # page tables
    all_in: float  # by how much less is available: also page tables, and what the kernel of the machine keeps
    tasks: float  # processes and threads


@dataclass
class Lesson:
    """The stages of one kind, in order, and what went wrong in its cells."""

    name: str
    weights: dict[str, Weight] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    cells: int = 0


def meminfo(name: str) -> float:
    """A line of /proc/meminfo in MiB."""
    found = re.search(rf"^{name}:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.M)
    if found is None:
        raise Trouble(f"/proc/meminfo does not say {name}")
    return int(found[1]) / 1024


def available() -> float:
    """MemAvailable in MiB: the middle of several looks."""
    seen = []
    for _ in range(SAMPLES):
        seen.append(meminfo("MemAvailable"))
        time.sleep(0.1)
    return sorted(seen)[SAMPLES // 2]


def parents() -> dict[int, int]:
    """Every process of the machine and its parent."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            found[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    return found


def family(roots: Iterable[int], parent_of: Mapping[int, int]) -> list[int]:
    """These processes and all below them, parents first."""
    children: dict[int, list[int]] = {}
    for pid, parent in parent_of.items():
        children.setdefault(parent, []).append(pid)
    found = list(roots)
    for one in found:
        found += children.get(one, [])
    return list(dict.fromkeys(found))


def watched(front: int, parent_of: Mapping[int, int]) -> list[int]:
    """The processes that a front holds a pidfd of, beside its own parent: its worker."""
    found = []
    for info in Path(f"/proc/{front}/fdinfo").glob("*"):
        with contextlib.suppress(OSError):
            found += [int(pid) for pid in re.findall(r"^Pid:\s+(\d+)", info.read_text(), re.M)]
    return [pid for pid in found if pid > 0 and pid != parent_of.get(front)]


def status_line(pid: int, name: str) -> int:
    """A number of /proc/PID/status; 0 where there is none."""
    with contextlib.suppress(OSError):
        found = re.search(rf"^{name}:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.M)
        return int(found[1]) if found else 0
    return 0


class Kernel:
    """One running kernel and a client on it. A context manager: leaving it ends all that belongs to it."""

    def __init__(self, kind: Kind, folder: Path, cwd: Path) -> None:
        prefix, key = str(folder / uuid.uuid4().hex[:8]), uuid.uuid4().hex
        facts: dict[str, Any] = {f"{channel}_port": port for port, channel in enumerate(CHANNELS, 1)}
        facts |= {"transport": "ipc", "ip": prefix, "key": key, "signature_scheme": "hmac-sha256"}
        file = Path(f"{prefix}.json")
        file.touch(mode=0o600)
        file.write_text(json.dumps(facts))
        self._at = prefix, key
        self._client: Client | None = None
        words = [word.replace("{connection_file}", str(file)) for word in kind.argv]
        quiet = subprocess.DEVNULL
        try:
            self._process = subprocess.Popen(
                words,
                stdin=quiet,
                stdout=quiet,
                stderr=quiet,
                start_new_session=True,
                cwd=cwd,
                env={**os.environ, **kind.environment},
            )
        except OSError as error:
            raise Trouble(f"{words[0]}: {error.strerror}") from None

    def connect(self) -> None:
        """Until it answers. Raises NoAnswer."""
        self._client = Client(*self._at, START_SECONDS)
        self._client.ask("kernel_info_request", {}, START_SECONDS)

    def take(self, step: Step, seconds: float) -> str | None:
        """One step; the error that it ended with. Raises NoAnswer."""
        assert self._client is not None
        if step.complete:
            self._client.ask("complete_request", {"code": step.code, "cursor_pos": len(step.code)}, seconds)
            return None
        content = {"code": step.code, "silent": False, "store_history": True, "user_expressions": {}}
        reply = self._client.ask("execute_request", content | {"allow_stdin": False, "stop_on_error": False}, seconds)
        return None if reply["status"] == "ok" else f"{reply.get('ename')}: {reply.get('evalue')}"

    def drain(self) -> None:
        assert self._client is not None
        self._client.drain()

    def pids(self) -> list[int]:
        parent_of = parents()
        front = self._process.pid
        return family([front, *watched(front, parent_of)], parent_of)

    def is_forked(self) -> bool:
        """Whether a nursery forked its worker."""
        parent_of = parents()
        found = watched(self._process.pid, parent_of)
        return bool(found) and all(parent_of.get(pid) != self._process.pid for pid in found)

    def weigh(self) -> Weight:
        """Of this kernel alone; all_in is 0 here. Raises NoAnswer when it has ended, Trouble when we may not look."""
        if self._process.poll() is not None:
            raise NoAnswer(f"the kernel ended with status {self._process.returncode}")
        private = proportional = tables = tasks = 0
        for pid in self.pids():
            seen = glance.memory_of(pid)
            if seen.private is None or seen.proportional is None:
                if status_line(pid, "Threads"):
                    raise Trouble(f"the memory of process {pid} cannot be read: run this as its user, or as root")
                continue  # it has ended meanwhile
            private += seen.private
            proportional += seen.proportional
            tables += status_line(pid, "VmPTE")
            tasks += status_line(pid, "Threads")
        return Weight(private / 1024, proportional / 1024, tables / 1024, 0.0, tasks)

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
        for pid in reversed(self.pids() if self._process.poll() is None else []):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=END_SECONDS)

    def __enter__(self) -> Kernel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextlib.contextmanager
def running(kind: Kind, count: int, folder: Path, cwd: Path) -> Iterator[list[Kernel]]:
    """So many kernels that all answer. Raises Trouble."""
    with contextlib.ExitStack() as stack:
        kernels = [stack.enter_context(Kernel(kind, folder, cwd)) for _ in range(count)]
        for kernel in kernels:
            try:
                kernel.connect()
            except NoAnswer as why:
                raise Trouble(f"{kind.name}: {why}") from None
        yield kernels


def mean(weights: list[Weight], all_in: float) -> Weight:
    """What one of these costs, with what all of them cost together."""
    n = len(weights)
    return Weight(
        private=sum(weight.private for weight in weights) / n,
        proportional=sum(weight.proportional for weight in weights) / n,
        tables=sum(weight.tables for weight in weights) / n,
        all_in=all_in / n,
        tasks=sum(weight.tasks for weight in weights) / n,
    )


def teach(
    kind: Kind,
    count: int,
    stages: Mapping[str, list[Step]],
    places: tuple[Path, Path],
    seconds: float,
    check: Callable[[list[Kernel]], None] = lambda kernels: None,
) -> Lesson:
    """Start `count` kernels, take all of them through the stages, weigh them after each.

    places: a private folder for sockets, and the working directory. seconds: for one step. check: looks at the kernels
    once they answer. Raises Trouble.
    """
    lesson = Lesson(kind.name)
    before = available()
    with running(kind, count, *places) as kernels:
        check(kernels)
        for stage, steps in stages.items():
            try:
                for step in steps:
                    _take_all(lesson, kernels, step, seconds)
                time.sleep(SETTLE_SECONDS)
                for kernel in kernels:
                    kernel.drain()
                lesson.weights[stage] = mean([kernel.weigh() for kernel in kernels], before - available())
            except NoAnswer as why:
                raise Trouble(f"{kind.name}, {stage}: {why}") from None
    return lesson


def _take_all(lesson: Lesson, kernels: list[Kernel], step: Step, seconds: float) -> None:
    lesson.cells += not step.complete
    errors = [error for kernel in kernels if (error := kernel.take(step, seconds)) is not None]
    if errors and not (step.fails and step.fails in errors[0]):
        lesson.failed.append(f"{step.code.strip().splitlines()[0][:40]}: {errors[0][:100]}")
