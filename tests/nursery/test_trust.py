# SPDX-License-Identifier: BSD-3-Clause
"""What a nursery of the machine opens, runs and believes is root's alone, at its first build and at every other."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from nursery import AS_ROOT, USER, Begin
from raw import murmur2

REHEARSAL = Path(sysconfig.get_path("purelib")) / "pupitre/nursery/rehearsal.py"
PIDS = 100  # of a nursery in a namespace of its own
TRAPS = """
import os, sys
for place in sys.argv[2:]:
    os.mkdir(place)
    for name in sys.argv[1].split():
        os.mkfifo(f"{place}/{name}")
"""
PATHS = re.compile(r'(?:(?:AT_FDCWD|\d+)<([^>]*)>, )?"((?:[^"\\]|\\.)*)"')
MAKES = re.compile(r"O_EXCL|^\d+ +mkdir")  # what is there already is not taken


def texts(file: Path) -> list[str]:
    """All that stand in a module."""
    found = [node.value for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Constant)]
    return [value for value in found if isinstance(value, str)]


@pytest.fixture
def traps() -> Iterator[None]:
    """What a student can make beforehand, because the numbers of processes can be foretold and cells are known: a pipe
    to which nobody writes for each cell of the rehearsal, below /tmp.
    """
    names = {f"{murmur2(cell.encode())}.py" for cell in texts(REHEARSAL)}
    places = [Path(tempfile.gettempdir()) / f"ipykernel_{pid}" for pid in range(1, PIDS)]
    subprocess.run([sys.executable, "-c", TRAPS, " ".join(names), *map(str, places)], check=True, user=USER.uid)
    yield
    for place in places:
        shutil.rmtree(place)


if AS_ROOT:

    @pytest.mark.usefixtures("traps")
    def test_pipes_where_cells_of_the_rehearsal_could_be(begin: Begin) -> None:
        apart = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
        begin("--import", "json", system=True, prefix=apart)  # and is ready
