# SPDX-License-Identifier: BSD-3-Clause
"""The packages that a template is built of: when nobody changes them any more, and which did change since the last one.

pip makes and removes things in site-packages for as long as it works. A template that was built meanwhile would be of
two versions at once, and would have to be built again. So one waits until the folder has been quiet for a moment, and
is unfit where something changed after that.
"""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib.machinery import all_suffixes
from select import select
from time import monotonic, time

from . import stage

_FOLDERS = ("site-packages", "dist-packages")
_METADATA = (".dist-info", ".egg-info")
_MODULES = (*all_suffixes(), ".pth")
_PYTHONS_OWN = "__pycache__"
_QUIET = 3.0  # seconds without a change after which pip has ended
_LOOK = 0.5  # seconds between looks
_NEWS = 600.0  # seconds: an entry that nobody has changed for so long is not looked into
_PATIENCE = 300.0  # seconds to wait in all; less than what a listener gives a template
_NAMED = 5  # changes in one line

_begun = 0  # state(): no more than a number, because what is freed when the heap is settled leaves holes


class Changing(Exception):
    """Somebody is at work there; the text is what the log says."""


def begin() -> None:
    """Wait until nobody changes packages, and tell which have changed since the last time. Raises Changing.

    The first template of a home does not wait: who starts a nursery has installed what it is to have.
    """
    global _begun
    last = _last()
    if last:
        _wait_until_quiet()
    now = versions()
    if told := changes(last, now):
        stage.tell(f"packages changed: {told}")
    if not last:
        _remember(now)
    _begun = state()


def end() -> None:
    """What was imported is all of one moment, and remembered for the next template. Raises Changing."""
    if have_changed():
        raise Changing("packages changed while they were imported")
    _remember(versions())


def have_changed() -> bool:
    """Since begin()."""
    return state() != _begun


def state() -> int:
    """A hash of what an installation changes: each folder and module by its inode, a module and what says that a
    package is whole by its time as well. Not other files: a package may write into some when it is imported.
    """
    found: list[tuple[str | int, ...]] = []
    for entry in _entries():
        if entry.name == _PYTHONS_OWN:
            continue
        with suppress(OSError):  # it is gone, or there is no RECORD
            is_file = entry.is_file()
            if is_file and not entry.name.endswith((*_MODULES, *_METADATA)):
                continue
            found.append((entry.path, entry.inode()))
            record = os.path.join(entry.path, "RECORD") if entry.name.endswith(_METADATA) else entry.path
            if record != entry.path or is_file:
                status = os.stat(record)
                found.append((record, status.st_ino, status.st_mtime_ns))
    return hash(tuple(sorted(found)))


def versions() -> dict[str, str]:
    """Of what is installed, by name."""
    found: dict[str, str] = {}
    for entry in _entries():
        if entry.name.endswith(_METADATA) and not entry.name.startswith("~"):
            name, version, *_ = [*entry.name.rpartition(".")[0].split("-"), ""]
            found.setdefault(name, version)  # the first on sys.path counts
    return found


def changes(before: dict[str, str], after: dict[str, str]) -> str:
    """Between two of versions(): "numpy 2.1 -> 2.2, six 1.16 removed"; "" without one, or if nothing is known."""
    told = []
    for name in sorted(before.keys() | after.keys() if before else (), key=str.lower):
        old, new = before.get(name), after.get(name)
        if old is None:
            told.append(f"{name} {new} added")
        elif new is None:
            told.append(f"{name} {old} removed")
        elif new != old:
            told.append(f"{name} {old} -> {new}")
    more = len(told) - _NAMED
    return ", ".join(told[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _note() -> str:
    """Where the versions are that the last template was built of."""
    return os.path.join(os.path.expanduser("~"), "packages.json")


def _remember(found: dict[str, str]) -> None:
    with suppress(OSError), open(_note(), "w", encoding="utf-8") as file:
        json.dump(found, file)


def _last() -> dict[str, str]:
    try:
        with open(_note(), encoding="utf-8") as file:
            return dict(json.load(file))
    except (OSError, ValueError, TypeError):
        return {}


def _folders() -> list[str]:
    """Where packages are installed, of those on sys.path."""
    found = [path for path in dict.fromkeys(sys.path) if os.path.basename(path) in _FOLDERS]
    for path in found:
        stage.check(path)
    return [path for path in found if os.path.isdir(path)]


def _entries() -> Iterator[os.DirEntry[str]]:
    for folder in _folders():
        yield from _list(folder)


def _list(folder: str) -> Iterator[os.DirEntry[str]]:
    with suppress(OSError), os.scandir(folder) as entries:
        yield from entries


def _wait_until_quiet() -> None:
    begin = since = monotonic()
    last = _newest()
    # By the clock; where a file server's is ahead by when we saw the last change.
    while time() - last < _QUIET and monotonic() - since < _QUIET:
        if monotonic() - begin > _PATIENCE:
            raise Changing(f"packages have been changing for {_PATIENCE:.0f} s")
        select([], [], [], _LOOK)
        newest = _newest()
        if newest != last:
            last, since = newest, monotonic()


def _newest() -> float:
    """When something was last changed, in seconds of the clock, as far as it matters."""
    newest = max((os.stat(folder).st_ctime for folder in _folders()), default=0.0)
    return max([newest, *(_newest_of(entry, time() - _NEWS) for entry in _entries())])


def _newest_of(entry: os.DirEntry[str], horizon: float) -> float:
    """Of an entry and, if it is new itself, of all below. What is another user's is not entered."""
    try:
        status = entry.stat(follow_symlinks=False)
        if (
            status.st_ctime < horizon
            or status.st_uid not in (0, os.geteuid())
            or not entry.is_dir(follow_symlinks=False)
        ):
            return status.st_ctime
    except OSError:
        return 0.0
    return max([status.st_ctime, *(_newest_of(below, 0.0) for below in _list(entry.path))])
