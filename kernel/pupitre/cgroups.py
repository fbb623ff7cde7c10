# SPDX-License-Identifier: BSD-3-Clause
"""The control groups of a process and what they allow: version 2, or 1 where a machine has its controllers there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path("/sys/fs/cgroup")
CONTROLLERS = {"memory": "memory", "pids": "processes", "cpu": "processor time"}  # and what each limits
UNLIMITED = 2**62  # version 1 writes a number of pages near 2**63 for "none"


class Group(NamedTuple):
    """A group as one controller knows it."""

    controller: str
    version: int
    folder: Path
    top: Path  # the folder in which its hierarchy is mounted

    def upward(self) -> Iterator[Group]:
        """This group and those around it, whose limits hold as well."""
        folder = self.folder
        while True:
            yield self._replace(folder=folder)
            if folder in (self.top, folder.parent):
                return
            folder = folder.parent

    def limit(self) -> float | None:
        """Of this group alone: bytes, tasks, or processors; None without one."""
        try:
            return self._read()
        except (OSError, ValueError):  # the top has no such file, and "max" is no number
            return None

    def _read(self) -> float | None:
        if self.controller == "cpu" and self.version == 1:
            quota = int((self.folder / "cpu.cfs_quota_us").read_text())
            return quota / int((self.folder / "cpu.cfs_period_us").read_text()) if quota > 0 else None
        if self.controller == "cpu":
            quota_text, period = (self.folder / "cpu.max").read_text().split()
            return int(quota_text) / int(period)
        old = self.controller == "memory" and self.version == 1
        limit = int((self.folder / ("memory.limit_in_bytes" if old else f"{self.controller}.max")).read_text())
        return limit if limit < UNLIMITED else None


def group_of(controller: str) -> Group | None:
    """The group of this process; None where the machine does not have the controller, or no file system of it."""
    try:
        lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    except OSError:
        return None
    for _, controllers, path in lines:
        folder = ROOT / controller / path.strip("/")
        if controller in controllers.split(",") and folder.is_dir():
            return Group(controller, 1, folder, ROOT / controller)
    for number, _, path in lines:
        for top in (ROOT, ROOT / "unified"):
            if number == "0" and has(top, controller):  # the group itself may leave it to one around it
                return Group(controller, 2, top / path.strip("/"), top)
    return None


def has(top: Path, controller: str) -> bool:
    """Whether a hierarchy of version 2 is mounted there and has the controller."""
    try:
        return controller in (top / "cgroup.controllers").read_text().split()
    except OSError:
        return False


def tightest(controller: str) -> tuple[float, int] | None:
    """The limit that holds for this process, and of which version its group is; None without one."""
    group = group_of(controller)
    limits = [limit for one in group.upward() if (limit := one.limit()) is not None] if group else []
    return (min(limits), group.version) if group and limits else None
