# SPDX-License-Identifier: BSD-3-Clause
"""Limits around a whole test, so that a student whose own limits fail takes nothing from the machine."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pupitre.cgroups import CONTROLLERS, Group, group_of
from pupitre.hub import make_parent, settings

LIMITS = {"memory": 4 << 30, "pids": 900, "cpu": None}  # of the Hub, its servers and all kernels together
WEIGHT = (("cpu.shares", "20480"), ("cpu.weight", "2000"))  # on a busy machine they count as many processes, not as one
MOST_TASKS = 600  # of one user, by RLIMIT_NPROC, which root does not feel


class Fence:
    """A cgroup of each controller, with LIMITS, as a unit of systemd's would have it."""

    def __init__(self, name: str) -> None:
        self.groups: dict[str, Group] = {}
        for controller in CONTROLLERS:
            group = group_of(controller)
            assert group, f"this machine has no controller {controller}"
            parent = make_parent(group)
            own = parent._replace(folder=parent.folder / f"{name}.service")
            own.folder.mkdir(exist_ok=True)
            for file, text in [*settings(own, LIMITS[controller]), *WEIGHT]:
                if (own.folder / file).exists():
                    (own.folder / file).write_text(text)
            self.groups[controller] = own

    def enter(self) -> None:
        """For this process, and what it starts."""
        for group in self.groups.values():
            (group.folder / "cgroup.procs").write_text("0")
        resource.setrlimit(resource.RLIMIT_NPROC, (MOST_TASKS, MOST_TASKS))

    def of(self, uid: int, controller: str) -> Path:
        """Where LimitedSpawner makes a user's."""
        return self.groups[controller].folder / f"user-{uid}"

    def remove(self) -> None:
        """When all have left."""
        deadline = time.monotonic() + 10
        for folder in {group.folder for group in self.groups.values()}:
            for path in [*(path.parent for path in folder.glob("*/cgroup.procs")), folder]:
                while path.exists():
                    with suppress(OSError):  # a killed process leaves its group a moment later
                        path.rmdir()
                        break
                    assert time.monotonic() < deadline, f"{path} still has {(path / 'cgroup.procs').read_text()}"


@contextmanager
def fence(name: str) -> Iterator[Fence]:
    made = Fence(name)
    try:
        yield made
    finally:
        made.remove()
