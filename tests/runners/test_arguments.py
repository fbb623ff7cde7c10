# SPDX-License-Identifier: BSD-3-Clause
"""Command lines that clients write: with each the kernel starts as ipykernel does, and cells see what theirs see."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import KERNELS
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager
from tools import environment

DEADLINE = 60.0
LOOK = """
import argparse, json, os, sys
json.dumps([os.path.basename(sys.argv[0]), os.path.isfile(sys.argv[0]), sys.argv[1:],
    argparse.ArgumentParser().format_usage(), globals().get('given'), get_ipython().cache_size,
    get_ipython().kernel.parent.matplotlib])
"""
# What follows -f and the connection file. FILE is one that is there.
BOTH = {
    "nothing": [],
    "a file": ["FILE"],
    "a file and an option": ["FILE", "--matplotlib", "inline"],
    "words": ["a", "b"],
    "the rest": ["--", "a", "--b", "-c"],
    "an unknown option with =": ["--nope=1"],
    "an unknown option and a value": ["--nope", "value"],
    "an unknown trait": ["--InteractiveShell.nope=1"],
    "a trait of an unknown class": ["--Nope.nope=1"],
    "a trait and a value": ["--InteractiveShell.cache_size", "7"],
    "an alias and a value": ["--matplotlib", "inline"],
    "an alias of an application's trait": ["--IPKernelApp.matplotlib", "inline"],
    "code": ["-c", "given = 5"],
    "code and words": ["-c", "given = 5", "a"],
    "code behind two dashes": ["--c=given = 5"],
    "an empty argument": [""],
    "a dash": ["-"],
    "flags": ["--quiet", "--no-stdout", "--pprint"],
    "a client's identity": ["--ident=x", "--user=me"],
}
# Here ipykernel ends with 2, or cannot be started so.
OURS = {
    "an unknown option": ["--nope"],
    "an unknown letter": ["-x"],
    "an unknown option at the end": ["FILE", "--nope"],
    "dashes": ["---"],
    "an alias without its value": ["--ext"],
    "a key": ["--keyfile=x"],
}


def seen(kernel: str, place: Path, arguments: list[str], form: list[str] | None = None) -> Any:
    """What a cell sees. `form`: how the connection file is given, if not in two words."""
    place.mkdir()
    (place / "page.py").write_text("given = 'the file was run'\n")
    manager = KernelManager(kernel_name=kernel, connection_file=str(place / "k.json"))
    if form:
        assert manager.kernel_spec
        manager.kernel_spec.argv[-2:] = form
    words = [str(place / "page.py") if word == "FILE" else word for word in arguments]
    with (place / "log").open("wb") as log, running(manager, words, place, log) as client:
        reply = client.execute(
            "", user_expressions={"look": f"eval({last_line(LOOK)!r})"}, reply=True, timeout=DEADLINE
        )
    look = reply["content"]["user_expressions"]["look"]
    assert look["status"] == "ok", look
    return json.loads(eval(look["data"]["text/plain"]).replace(str(place), "PLACE"))


def last_line(code: str) -> str:
    """An expression that runs the code and has the value of its last statement."""
    first, rest = code.strip().split("\n", 1)
    return f"(exec({first!r}, globals()), {rest.strip().replace(chr(10), ' ')})[1]"


@contextmanager
def running(manager: KernelManager, words: list[str], place: Path, log: Any) -> Iterator[BlockingKernelClient]:
    manager.start_kernel(extra_arguments=words, env=environment(place), cwd=str(place), stdout=log, stderr=log)
    client = manager.client()
    client.start_channels()
    try:
        client.kernel_info(reply=True, timeout=DEADLINE)
        yield client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


@pytest.mark.parametrize("name", BOTH)
def test_cells_see_what_those_of_ipykernel_see(tmp_path: Path, name: str) -> None:
    ours, theirs = (seen(kernel, tmp_path / kernel, BOTH[name]) for kernel in KERNELS)
    assert ours == theirs and theirs[:2] == ["ipykernel_launcher.py", True]


FORMS = [["-f{connection_file}"], ['--f="{connection_file}"'], ["-f", "'{connection_file}'"], ["-f={connection_file}"]]


@pytest.mark.parametrize("form", FORMS, ids=" ".join)
def test_forms_of_the_connection_file(tmp_path: Path, form: list[str]) -> None:
    ours, theirs = (seen(kernel, tmp_path / kernel, ["--pprint"], form) for kernel in KERNELS)
    assert ours == theirs


@pytest.mark.parametrize("name", OURS)
def test_what_nobody_knows_is_ignored_with_a_line(tmp_path: Path, name: str) -> None:
    look = seen("pupitre", tmp_path / "k", OURS[name])
    assert look[2][2:] == [word.replace("FILE", "PLACE/page.py") for word in OURS[name]]
    assert f"{OURS[name][-1]}: no option of this kernel, ignored" in (tmp_path / "k/log").read_text()


def test_jupyter_run(tmp_path: Path) -> None:
    """The kernel is handed the file's name, too."""
    said = []
    for kernel in KERNELS:
        place = tmp_path / kernel
        place.mkdir()
        (place / "page.py").write_text("import sys\nprint(6 * 7, sys.argv[3:])\n")
        command = [sys.executable, "-m", "jupyter_client.runapp", f"--kernel={kernel}", "page.py"]
        done = subprocess.run(
            command, cwd=place, env=environment(place), capture_output=True, text=True, timeout=DEADLINE, check=False
        )
        said.append((done.returncode, done.stdout))
    assert said[0] == said[1] == (0, "42 ['page.py']\n")


def test_the_launcher_becomes_a_kernel(tmp_path: Path) -> None:
    """As `os.execv(sys.executable, [sys.executable, *sys.argv])` in a cell would have it."""
    look = seen("pupitre", tmp_path / "k", [])
    assert look[1]
    package = "import os, pupitre; print(os.path.dirname(pupitre.__file__))"
    place = subprocess.run([python(), "-c", package], capture_output=True, text=True, check=True).stdout.strip()
    path = f"{place}/lookalike/ipykernel_launcher.py"
    done = subprocess.run([python(), path, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("pupitre-kernel")


def python() -> str:
    """The interpreter that has Pupitre, below that of the tools."""
    return str(Path(sys.prefix).parent / "bin/python")
