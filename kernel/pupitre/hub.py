# SPDX-License-Identifier: BSD-3-Clause
"""JupyterHub's LocalProcessSpawner with limits of memory, processes and processor time. In jupyterhub_config.py:

    c.JupyterHub.spawner_class = "pupitre.hub.LimitedSpawner"
    c.Spawner.mem_limit = "2G"
    c.Spawner.cpu_limit = 2
    c.LimitedSpawner.process_limit = 1000

A server enters its user's cgroup before it becomes its user's process. Whatever it starts is born there, and a nursery
puts the kernels that it forks into the cgroup of whoever asked. Where no cgroup can be made, rlimits stand in.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import logging
import os
import pwd
import resource
from collections.abc import Callable
from pathlib import Path

from jupyterhub.spawner import LocalProcessSpawner
from traitlets import Integer

from pupitre.cgroups import CONTROLLERS, Group, group_of

PERIOD_US = 100_000  # in which a quota of processor time is dealt out; the kernel's own default
LEAF = "hub"  # where the hub itself lives in version 2
ATTEMPTS = 10  # to move processes while they start others
Limits = dict[str, float | None]  # by controller: bytes, tasks, processors; None is no limit


class LimitedSpawner(LocalProcessSpawner):
    """Starts servers within `mem_limit`, `cpu_limit` and `process_limit`, each for all servers of a user."""

    process_limit = Integer(
        1000,
        min=0,
        help="The most processes and threads that a user may have at a time; 0 is no limit.",
    ).tag(config=True)

    def make_preexec_fn(self, name: str) -> Callable[[], None]:
        """What the child does between fork and exec, as root: enter the limits, then become the user."""
        become = super().make_preexec_fn(name)
        limits: Limits = {
            "memory": self.mem_limit or None,
            "pids": self.process_limit or None,
            "cpu": self.cpu_limit or None,
        }
        groups = groups_for_users(self.log)
        enter = [make_group(group, pwd.getpwnam(name).pw_uid, limits[key]) for key, group in groups.items()]

        def preexec() -> None:
            for procs in dict.fromkeys(enter):
                with open(procs, "w") as file:
                    file.write("0")
            limit_process({key: limit for key, limit in limits.items() if key not in groups})
            become()

        return preexec


@functools.cache
def groups_for_users(log: logging.Logger) -> dict[str, Group]:
    """The groups in which those of users can be made, by controller. Says once which limits hold by what."""
    groups: dict[str, Group] = {}
    for controller, what in CONTROLLERS.items():
        group, why = group_of(controller), "there is no such controller"
        try:
            if group and not os.access(group.folder, os.W_OK):
                why = f"{group.folder} cannot be written"
            elif group:
                groups[controller] = make_parent(group)
                log.info("Limits of %s: by cgroup version %d, in %s", what, group.version, groups[controller].folder)
                continue
        except OSError as error:
            why = str(error)
        weaker = {"memory": "of each process alone, by rlimit", "pids": "by rlimit", "cpu": "none"}[controller]
        log.warning("Limits of %s: %s, not by cgroup: %s", what, weaker, why)
    return groups


def make_parent(group: Group) -> Group:
    """The hub's group, made ready to have others in it. Raises OSError.

    In version 2 one that limits others cannot have processes as well: those of the hub's unit move into a leaf."""
    if group.version == 1:
        return group
    folder = group.folder.parent if group.folder.name == LEAF else group.folder
    for _ in range(ATTEMPTS):
        try:
            (folder / "cgroup.subtree_control").write_text(f"+{group.controller}")
            return group._replace(folder=folder)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            if folder.suffix == ".scope":  # a login session has others' processes in it
                raise OSError(errno.EBUSY, "the hub needs a unit of its own, with Delegate=yes", str(folder)) from None
        (folder / LEAF).mkdir(exist_ok=True)
        for pid in (folder / "cgroup.procs").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                (folder / LEAF / "cgroup.procs").write_text(pid)
    raise OSError(errno.EBUSY, "processes keep coming into the hub's cgroup", str(folder))


def make_group(parent: Group, uid: int, limit: float | None) -> Path:
    """The user's group, which has that limit from now on; the file by which one enters. It stays for the next time."""
    folder = parent.folder / f"user-{uid}"
    folder.mkdir(exist_ok=True)
    for name, text in settings(parent, limit):
        if (folder / name).exists():  # there are none of swap where the machine does not count it
            (folder / name).write_text(text)
    return folder / "cgroup.procs"


def settings(group: Group, limit: float | None) -> list[tuple[str, str]]:
    """The files of a group that make the limit, in the order in which they can be written."""
    amount = None if limit is None else str(int(limit * PERIOD_US if group.controller == "cpu" else limit))
    match group.controller, group.version:
        case "memory", 1:  # memory with swap may never be less than memory
            both = "memory.memsw.limit_in_bytes"
            return [(both, "-1"), ("memory.limit_in_bytes", amount or "-1"), (both, amount or "-1")]
        case "memory", _:
            return [("memory.max", amount or "max"), ("memory.swap.max", "0" if amount else "max")]
        case "cpu", 1:
            return [("cpu.cfs_period_us", str(PERIOD_US)), ("cpu.cfs_quota_us", amount or "-1")]
        case "cpu", _:
            return [("cpu.max", f"{amount or 'max'} {PERIOD_US}")]
    return [("pids.max", amount or "max")]


def limit_process(limits: Limits) -> None:
    """What rlimits can do for what no cgroup does: this process, and each that it starts, for itself."""
    for controller, which in (("memory", resource.RLIMIT_DATA), ("pids", resource.RLIMIT_NPROC)):
        if limit := limits.get(controller):
            resource.setrlimit(which, (int(limit), int(limit)))
