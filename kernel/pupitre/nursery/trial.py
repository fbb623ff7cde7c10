# SPDX-License-Identifier: BSD-3-Clause
"""Tries in a process of its own what the template is about to do, an import or a cell, and finds what it would leave in
it: threads, devices, more shared memory than a worker can have a copy of. With any of these the template does without.
"""

import os
import stat
import sys
import threading
from collections.abc import Callable
from functools import partial
from importlib import import_module
from json import dumps, loads
from select import select
from typing import TYPE_CHECKING, Any, NamedTuple

from . import belongings, probe

if TYPE_CHECKING:
    from . import _nursery
else:
    import _nursery

# Of packages that a module brings along, the variables that keep them from what a template cannot have. Each is tried
# only where there is trouble, and stays set in the template alone: a user's own value means a cold kernel.
SETTINGS = {
    "pyarrow": {"JE_ARROW_MALLOC_CONF": "background_thread:false", "ARROW_DEFAULT_MEMORY_POOL": "system"},
    "polars": {"_RJEM_MALLOC_CONF": "background_thread:false", "POLARS_MAX_THREADS": "1"},
    "numexpr": {"NUMEXPR_MAX_THREADS": "1"},
    "tqdm": {"TQDM_MONITOR_INTERVAL": "0"},
}
SHARED_MAX = 64 << 20  # bytes of shared memory, of which every worker gets a copy
_SECONDS = 120.0  # for one import or cell
_LAST_SECONDS = 1.0  # for threads that are about to end
_PLAIN_DEVICES = {os.makedev(1, minor) for minor in (3, 5, 7, 8, 9)}  # null, zero, full, random, urandom
# What a worker gets /dev/null for, and can do without.
_PLAIN_FILES = ("[eventpoll]", "[eventfd]", "[signalfd]", "[timerfd]", "[pidfd]", "inotify")


class Left(NamedTuple):
    """What something left in the process that tried it."""

    trouble: list[str]  # with which no process may be forked, in words; empty: none
    modules: list[str]  # packages that it imported


def attempt(act: Callable[[], object]) -> Left:
    """Call `act` in a child, whatever it raises there. Killed: nothing is known of it, another time it may be."""
    try:
        return Left(*loads(probe.ask(partial(_try, act), _SECONDS)))
    except probe.Killed:
        raise
    except probe.Failed as error:
        return Left([str(error)], [])


def check_import(name: str) -> str:
    """Why this module must be left out, with what was tried against it; "": it can be imported here and now.

    Leaves variables in os.environ that make it possible.
    """
    act = partial(import_module, name)
    left = attempt(act)
    if not left.trouble:
        return ""
    tried: list[str] = []
    for package, settings in SETTINGS.items():
        for variable, value in settings.items() if package in left.modules else ():
            tried.append(f"{variable}={value}")
            os.environ[variable] = value
            if not attempt(act).trouble:
                return ""
    for setting in tried:
        os.environ.pop(setting.partition("=")[0])
    against = f"tried in vain: {', '.join(tried)}" if tried else "no setting is known that prevents it"
    return f"{', '.join(left.trouble)} ({against})"


def threads(starters: dict[int, str] | None = None) -> list[str]:
    """What runs here beside the main thread, by Python's name where it has one. `starters`: module by number."""
    names = {thread.native_id: thread.name for thread in threading.enumerate()}
    found = []
    for number, comm in _nursery.thread_names()[1:]:
        module = (starters or {}).get(number)
        of = f" of {module}" if module else ""
        found.append(f"thread {names[number]!r}{of}" if number in names else f"thread {comm} of a library")
    return found


def _try(act: Callable[[], object]) -> bytes:
    before, files = set(sys.modules), set(belongings.open_files())
    starters: dict[int, str] = {}
    _watch_threads(starters)
    try:
        act()
    except BaseException:  # the template will see it, too
        pass
    trouble = [*_lasting_threads(starters), *_devices(set(belongings.open_files()) - files), *_shared_memory()]
    return dumps([trouble, sorted({name.partition(".")[0] for name in set(sys.modules) - before})]).encode()


def _watch_threads(starters: dict[int, str]) -> None:
    """Remember which module started each thread."""
    start = threading.Thread.start

    def watched(self: threading.Thread) -> None:
        frame: Any = sys._getframe(1)
        while frame is not None and frame.f_globals.get("__name__") == "threading":
            frame = frame.f_back
        start(self)
        starters[self.native_id or 0] = str(frame.f_globals.get("__name__")) if frame else ""

    threading.Thread.start = watched  # type: ignore[method-assign]


def _lasting_threads(starters: dict[int, str]) -> list[str]:
    for _ in range(int(_LAST_SECONDS / 0.02)):
        if _nursery.count_threads() == 1:
            return []
        select([], [], [], 0.02)
    return threads(starters)


def _devices(files: set[int]) -> list[str]:
    """Those of these descriptors behind which there is more than a file, a pipe or a socket."""
    found = []
    for number in sorted(files):
        status, target = os.fstat(number), os.readlink(f"/proc/self/fd/{number}")
        is_device = stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode)
        is_plain = status.st_rdev in _PLAIN_DEVICES or target.endswith(_PLAIN_FILES)
        if (is_device or target.startswith("anon_inode:")) and not is_plain:
            found.append(f"open device {target}")
    return found


def _shared_memory() -> list[str]:
    """Mappings that others may write to and of which a worker can have no copy."""
    found, size = [], 0
    for begin, end, name in _nursery.shared_mappings():
        if name.startswith("anon_inode:") or (
            name.startswith("/dev/") and not name.startswith(("/dev/shm/", "/dev/zero"))
        ):
            found.append(f"mapped device {name}")
        size += end - begin
    if size > SHARED_MAX:
        found.append(f"{size >> 20} MB of shared memory")
    return found
