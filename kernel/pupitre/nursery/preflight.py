# SPDX-License-Identifier: BSD-3-Clause
"""What can be known before a template is built: whether the interpreter fits, which packages it has, and, where root
is about to run them for the whole machine, whether only root can change them.
"""

from __future__ import annotations

import errno
import glob
import inspect
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from pupitre.nursery import trust
from pupitre.nursery.settings import Settings, Wrong

DEADLINE = 30.0  # seconds for an interpreter to say what it has
HOME = re.compile(r"^\s*home\s*=\s*(/.*?)\s*$", re.MULTILINE)  # in pyvenv.cfg
BESIDE = ("pybuilddir.txt", "*._pth")
LIBRARY = (
    "lib*/libpython*",
    "lib*/python*",
    *(f"lib*/python[0-9].*/{end}" for end in ("*.py", "__pycache__/*", "encodings/*", "encodings/__pycache__/*")),
)
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/nonexistent"}

# Of an interpreter that has not run its site module yet: it does now, and opens only what is root's alone.
CAREFUL = """
import sys
def watch(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes)):
        check(arguments[0] if isinstance(arguments[0], str) else arguments[0].decode("utf-8", "surrogateescape"))
    elif event == "import" and isinstance(arguments[1], str):
        check(arguments[1])
sys.addaudithook(watch)
import site
site.main()
"""

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
    "refused": globals().get("refused", ""),
}))
"""


class Python(NamedTuple):
    """What an interpreter says of itself."""

    version: tuple[int, int]
    implementation: str
    path: list[str]
    modules: dict[str, str | None]  # where each is: a folder, a file, "built-in"; None: it is not installed


def probe(program: str, modules: Iterable[str], careful: bool = False) -> Python:
    """Ask an interpreter, isolated as the template is from environment and user site. Raises Wrong.

    `careful`: it reads no file, from its site module on, that somebody else than root can change.
    """
    options = ["-I", "-S", "-c", inspect.getsource(trust) + CAREFUL + PROBE] if careful else ["-I", "-c", PROBE]
    try:
        done = subprocess.run(
            [program, *options, *modules],
            env=ENVIRONMENT,
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=DEADLINE,
        )
        if done.returncode == -signal.SIGKILL or b"MemoryError" in done.stderr:
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
        answer = json.loads(done.stdout)
        if answer["refused"]:
            raise Wrong(f"--system: {answer['refused']}")
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


def startup_files(program: str) -> list[str]:
    """What an interpreter reads before it can be asked to be careful: beside it, where links and pyvenv.cfg lead, and
    in the library of each folder above, which is where CPython's getpath.py looks. Those that are there.
    """
    folders, found = [], [program]
    for place in (program, os.path.realpath(program)):
        folder = os.path.dirname(place)
        for file in (os.path.join(folder, "pyvenv.cfg"), os.path.join(os.path.dirname(folder), "pyvenv.cfg")):
            if os.path.exists(file):
                found.append(file)
                folders += re.findall(
                    r"^\s*home\s*=\s*(/.*?)\s*$", Path(file).read_text(errors="replace"), re.MULTILINE
                )
        folders.append(folder)
    for folder in dict.fromkeys(folders):
        found += [name for end in BESIDE for name in glob.glob(os.path.join(glob.escape(folder), end))]
        for above in (folder, *map(str, Path(folder).parents)):
            found += [name for end in LIBRARY for name in glob.glob(os.path.join(glob.escape(above), end))]
    return list(dict.fromkeys(found))


def libraries(program: str) -> list[str]:
    """The shared libraries of a program as the loader finds them, which it says without running any. Raises Wrong."""
    with open(program, "rb") as file:
        if file.read(4) != b"\x7fELF":
            raise Wrong(f"{program} is a script, and what it runs cannot be known: name the interpreter itself")
    loader = re.search(r"/\S*/ld-\S+", Path("/proc/self/maps").read_text())
    if loader is None:  # no system where programs share libraries
        return []
    done = subprocess.run([loader[0], "--list", program], env=ENVIRONMENT, capture_output=True, timeout=DEADLINE)
    return re.findall(r"(/\S+) \(0x", done.stdout.decode("utf-8", "replace"))


def must_be_roots(paths: Iterable[str]) -> None:
    """Raises Wrong where something that root would run or believe is not root's alone."""
    for path in paths:
        spot = trust.weak_spot(path) if path.startswith("/") else None
        if spot is not None:
            raise Wrong(f"--system would run as root what others can change: {spot}")


def check_start(settings: Settings, programs: Iterable[str]) -> None:
    """With --system, before anything of it runs. Raises Wrong."""
    must_be_roots(programs)
    must_be_roots(str(path) for path in (settings.rehearsal, settings.file) if path is not None)
    must_be_roots(startup_files(settings.python))
    must_be_roots(libraries(settings.python))


def check_python(python: Python) -> None:
    """With --system, what the interpreter says of itself. Raises Wrong."""
    must_be_roots([*python.path, *(path for path in python.modules.values() if path)])
