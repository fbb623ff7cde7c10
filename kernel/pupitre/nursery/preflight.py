# SPDX-License-Identifier: BSD-3-Clause
"""What can be known before a template is built: whether the interpreter fits, which packages it has, and, where root
is about to run them for the whole machine, whether only root can change them.
"""

from __future__ import annotations

import grp
import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from pupitre.nursery.settings import Settings, Wrong

DEADLINE = 30.0  # seconds for an interpreter to say what it has
SYSTEM_GROUPS_END = 1000  # groups below are the system's; an empty one of these gives nobody anything
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/nonexistent"}

# Finds each module without running it, nor the packages it is in; `null` where there is none.
PROBE = """
import importlib.machinery, json, sys
def find(name):
    path, spec = None, None
    parts = name.split(".")
    for i in range(len(parts)):
        name = ".".join(parts[: i + 1])
        for finder in sys.meta_path if path is None else [importlib.machinery.PathFinder]:
            spec = finder.find_spec(name, path)
            if spec is not None:
                break
        if spec is None:
            return None
        path = list(spec.submodule_search_locations or [])
    return path[0] if path else spec.origin or "built-in"
print(json.dumps({
    "version": sys.version_info[:2],
    "implementation": sys.implementation.name,
    "path": sys.path,
    "modules": {name: find(name) for name in sys.argv[1:]},
}))
"""


class Python(NamedTuple):
    """What an interpreter says of itself."""

    version: tuple[int, int]
    implementation: str
    path: list[str]
    modules: dict[str, str | None]  # where each is: a folder, a file, "built-in"; None: it is not installed


def probe(program: str, modules: Iterable[str]) -> Python:
    """Ask an interpreter, isolated as the template is from environment and user site. Raises Wrong."""
    try:
        done = subprocess.run(
            [program, "-I", "-c", PROBE, *modules],
            env=ENVIRONMENT,
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=DEADLINE,
        )
        answer = json.loads(done.stdout)
        return Python(tuple(answer["version"]), answer["implementation"], answer["path"], answer["modules"])
    except subprocess.TimeoutExpired:
        raise Wrong(f"{program} did not answer within {DEADLINE:.0f} s") from None
    except OSError as error:
        raise Wrong(f"cannot run {program}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or ["no output"]
        raise Wrong(f"{program} is no Python that works: {last[0][:200]}") from None


def choose_imports(settings: Settings, python: Python) -> list[str]:
    """The modules to import beforehand: those that are installed. Raises Wrong where one that was asked for is not."""
    missing = [name for name in settings.imports if python.modules[name] is None]
    if missing and settings.asked:
        raise Wrong(f"{settings.python} has no module {', '.join(missing)} (packages in a home directory do not count)")
    return [name for name in settings.imports if name not in missing]


def check_version(settings: Settings, python: Python) -> None:
    """Raises Wrong where it is another Python than the one that Pupitre is installed for."""
    if python.implementation != "cpython" or python.version != sys.version_info[:2]:
        found = f"{python.implementation} {'.'.join(map(str, python.version))}"
        ours = ".".join(map(str, sys.version_info[:2]))
        raise Wrong(f"{settings.python} is {found}; this Pupitre is built for cpython {ours}")


def check_notebook(path: str) -> None:
    """Raises Wrong where a rehearsal is not a notebook."""
    try:
        cells = json.loads(Path(path).read_bytes())["cells"]
    except OSError as error:
        raise Wrong(f"cannot read the rehearsal {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        cells = None
    if not isinstance(cells, list):
        raise Wrong(f"the rehearsal {path} is not a notebook (nbformat 4)")


def group_can(gid: int) -> bool:
    """Whether a group may have anybody in it but root."""
    if gid == 0:
        return False
    try:
        return gid >= SYSTEM_GROUPS_END or bool(grp.getgrgid(gid).gr_mem)
    except KeyError:
        return True


def weak_spot(path: str) -> str | None:
    """The component of an absolute path that somebody else than root can change, with the reason; None without one."""
    waiting, seen = [path], set()
    while waiting:
        whole = os.path.normpath(waiting.pop())
        for part in (whole, *map(str, Path(whole).parents)):
            if part in seen:
                continue
            seen.add(part)
            try:
                status = os.lstat(part)
            except OSError:
                continue  # what is not there cannot be run, and its parent is looked at
            mode = status.st_mode
            if status.st_uid != 0:
                return f"{part} belongs to user {status.st_uid}"
            if stat.S_ISLNK(mode):
                waiting.append(os.path.join(os.path.dirname(part), os.readlink(part)))
                waiting.append(os.path.realpath(whole))
                continue
            kept = part != whole and mode & stat.S_ISVTX  # nobody can replace root's entry in a sticky directory
            if mode & stat.S_IWOTH and not kept:
                return f"{part} can be written by everybody"
            if mode & stat.S_IWGRP and not kept and group_can(status.st_gid):
                return f"{part} can be written by group {status.st_gid}"
    return None


def check_trust(settings: Settings, programs: Iterable[str], python: Python) -> None:
    """Raises Wrong where something that root would run or believe is not root's alone."""
    paths = [*programs, settings.python, *python.path, *(path for path in python.modules.values() if path)]
    paths += [str(path) for path in (settings.rehearsal, settings.file) if path is not None]
    for path in paths:
        spot = weak_spot(path) if path.startswith("/") else None
        if spot is not None:
            raise Wrong(f"--system would run as root what others can change: {spot}")
