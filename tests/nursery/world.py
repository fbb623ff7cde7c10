# SPDX-License-Identifier: BSD-3-Clause
"""A world of marks: a template is built where home, folder, host, user, time zone, arguments, process number and
variables are texts that are found nowhere else; then all of them are taken away, and a kernel searches itself for them.

As root only. `run` begins this file as a program, in namespaces of its own; what that found it prints, a JSON object.
"""

from __future__ import annotations

import json
import re
import secrets
import shlex
import socket
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from types import ModuleType
from typing import Any

HERE = Path(__file__).parent
DEADLINE = 500.0  # seconds
BUILD_DEADLINE = 280.0
SEARCH_DEADLINE = 120.0
PID = 28411  # from which processes are numbered
SPACE = ("unshare", "--uts", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
# Marked besides those that a worker says it makes up for: what sessions have, and packages may keep without asking.
USUAL = (
    "USER", "LOGNAME", "SHELL", "EDITOR", "VISUAL", "PAGER", "BROWSER", "PWD", "OLDPWD", "DISPLAY", "HOSTNAME",
    "VIRTUAL_ENV", "CONDA_PREFIX", "SSH_CONNECTION", "XDG_CONFIG_DIRS", "XDG_DATA_DIRS", "XDG_STATE_HOME",
    "LC_MESSAGES", "JUPYTER_CONFIG_DIR", "SCIKIT_LEARN_DATA", "SEABORN_DATA", "JOBLIB_TEMP_FOLDER",
)  # fmt: skip
# Whoever has any value starts cold; no template has them, a kernel heeds them; what is worked out from them lies below
# its home; and these the template sets itself.
UNMARKED = (
    "MATPLOTLIBRC", "IPYKERNEL_CELL_NAME", "JPY_SESSION_NAME", "XDG_CONFIG_HOME", "XDG_DATA_HOME",
    "PATH", "LANG", "LANGUAGE", "HOME", "IPYTHONDIR", "XDG_CACHE_HOME",
)  # fmt: skip
# The first module that the template imports: whoever has none of the marks is not to start cold for it.
WITNESS = """
import os
from pupitre.nursery import asked
mark = os.fsencode({mark!r}[::-1])
for name in [name for name, value in asked.then.items() if mark in value]:
    del asked.then[name]
del mark, name
"""
# In place of pupitre-template.
PROGRAM = """#!/bin/bash
{variables}
mkdir -p {place}
cd {place}
exec -a {name} {program} "$@"
"""

# Where a mark may stay, by place and text, and why that is no harm, or who renews it.
MEMORY = r"(/memfd:pupitre-heap.*|\[heap\])\+[0-9a-f]+"
STAYS = {
    (
        r"\[stack\].*",
        r".*",
    ): "what the program was executed with: argv, environ and /proc are a worker's own (become.c)",
    (MEMORY, r"[A-Z_]+=.*"): "setenv's, which never frees them: environ has the user's (become_environment)",
    (MEMORY, r"<?MARK>?5?"): "tzset's, which never frees a name: tzname is the user's (become_environment)",
    (r"tuple < nobody", r"MARK"): "time.tzname before time.tzset (fresh._set_interpreter)",
    (MEMORY, r"(?!.*BASE).*MARK-home.*"): "freed: its beginning is overwritten",
    (MEMORY, r".*[^ -~\n].*MARK.*"): "freed: of the head of an object that nobody holds",
    (MEMORY, r".*\"rehearsal\": .*"): "freed: the settings, which the template reads once",
    (r"code < function <module>", r".*/ipykernel_PID/\d+\.py"): "of a cell of the rehearsal, of which nobody is told",
    (r"_RandomNameSequence < .*", "PID"): "tempfile renews it where it finds another number",
    (r"joblib._multiprocessing_helpers.name", r"/joblib-PID-\w+"): "of a semaphore that is gone",
    (r"IPython.utils.terminal.TERM", r".*-TERM"): "only what a terminal would show depends on it",
}


@dataclass
class Found:
    """What is in a kernel. `kept`: (who holds it, or its mapping; the text). `cold`: the variables for which a caller
    that has another value starts cold.
    """

    mark: str
    base: str
    pid: int
    kept: list[tuple[str, str]]
    cold: list[str]

    def unexplained(self) -> list[tuple[str, str]]:
        return [each for each in self.kept if not self._is_explained(*each)]

    def _is_explained(self, place: str, text: str) -> bool:
        variable = re.search(rf"{self.mark}-(\w+)", text)
        if variable and any(fnmatchcase(variable[1], each) for each in self.cold):
            return True
        return any(
            re.fullmatch(each, place) and re.fullmatch(self._filled(pattern), text, re.DOTALL)
            for each, pattern in STAYS
        )

    def _filled(self, pattern: str) -> str:
        return pattern.replace("MARK", self.mark).replace("BASE", re.escape(self.base)).replace("PID", str(self.pid))


def run(python: str, packages: Path, folder: Path, *options: str) -> Found:
    """Build a template with these options of `pupitre nursery`, search a kernel of it, and tell what was found.

    `packages`: the site-packages of the environment whose interpreter `python` is; one module is written there.
    """
    words = [*SPACE, sys.executable, __file__, python, str(packages), str(folder), *options]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, timeout=DEADLINE, check=True)
    return Found(**json.loads(done.stdout.splitlines()[-1]))


def names() -> list[str]:
    """Of the variables that are marked."""
    sys.modules["_nursery"] = ModuleType("_nursery")  # is in a template only
    from pupitre.nursery import asked

    renewed = {name for name in asked.RENEWED if "*" not in name}
    return sorted({*renewed, *USUAL} - {*UNMARKED})


class World:
    """All that is marked, below `base`; leave() takes it away."""

    def __init__(self, base: Path) -> None:
        self.mark = f"q{secrets.token_hex(5)}"
        self.base = base
        self.home, self.place = base / f"{self.mark}-home", base / f"{self.mark}-place"
        self.home.mkdir(parents=True)
        self.host = socket.gethostname()
        socket.sethostname(f"{self.mark}-host")
        people = base / "passwd"
        line = f"{self.mark}-person:x:0:0:{self.mark}-gecos:/{self.mark}-passwd:/{self.mark}-shell\n"
        people.write_text(line + Path("/etc/passwd").read_text())
        subprocess.run(["mount", "--bind", people, "/etc/passwd"], check=True)
        Path("/proc/sys/kernel/ns_last_pid").write_text(str(PID))
        self.variables = {name: f"/{self.mark}-{name}" for name in names()} | {"TZ": f"<{self.mark}>5"}
        self.notebook = self.home / "course.ipynb"
        source = "import os, platform, pwd; os.getcwd(), platform.uname(), pwd.getpwuid(0), os.getpid()"
        cell = {"cell_type": "code", "source": source}
        self.notebook.write_text(json.dumps({"cells": [cell], "nbformat": 4}))

    def program(self) -> Path:
        """In place of pupitre-template."""
        real = Path(sysconfig.get_path("data")) / "libexec/pupitre/pupitre-template"
        script = self.home / "template"
        variables = "\n".join(f"export {name}={shlex.quote(value)}" for name, value in self.variables.items())
        place, name = shlex.quote(str(self.place)), f"{self.mark}-argument"
        script.write_text(PROGRAM.format(variables=variables, place=place, name=name, program=shlex.quote(str(real))))
        script.chmod(0o755)
        return script

    def leave(self) -> None:
        socket.sethostname(self.host)
        subprocess.run(["umount", "/etc/passwd"], check=True)


def search(world: World, nursery: Any, python: str) -> dict[str, Any]:
    """From a kernel that knows nothing of the world."""
    from launch import Kernel
    from nursery import born_in_nursery

    home, socket_ = world.base / "kernel", world.base / "socket"
    home.mkdir()
    socket_.symlink_to(nursery.socket)
    env = {"HOME": str(home), "PUPITRE_NURSERY": str(socket_), "PUPITRE_PYTHON": python, "TZ": "UTC"}
    kernel = Kernel(home, env=env)
    try:
        born_in_nursery(kernel)
        client = kernel.client()
        client.ok((HERE / "self_search.py").read_text(), silent=True, store_history=False)
        pid = nursery.template().pid
        kept = client.evaluate(f"search({world.mark[::-1]!r}, {str(pid)[::-1]!r})", SEARCH_DEADLINE)
        asked = "__import__('pupitre.nursery.asked').nursery.asked"
        cold = client.evaluate(
            f"[n for n in {asked}._names if {asked}.differs({{**{asked}.then, n.encode(): b'other'}})]"
        )
    finally:
        kernel.close()
    return {"mark": world.mark, "base": str(world.base), "pid": pid, "kept": kept, "cold": cold}


def main(python: str, packages: str, folder: str, *options: str) -> None:
    sys.path[:0] = [str(HERE), str(HERE.parent / "client")]
    from nursery import Nursery

    world = World(Path(folder))
    (Path(packages) / "witness.py").write_text(WITNESS.format(mark=world.mark[::-1]))
    nursery = Nursery(
        world.home / "n",
        *("--python", python, "--rehearsal", str(world.notebook), *options),
        environment={"PUPITRE_TEMPLATE_BIN": str(world.program())},
        ready=False,
    )
    try:
        nursery.wait_said(b"ready\n", BUILD_DEADLINE)
        world.leave()
        print(json.dumps(search(world, nursery, python)))
    finally:
        nursery.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
