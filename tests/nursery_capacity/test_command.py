# SPDX-License-Identifier: BSD-3-Clause
"""`pupitre capacity`, run for real with few kernels, and what it says when it cannot."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

DEADLINE = 110.0  # seconds


def capacity(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    surroundings = {**os.environ, "PUPITRE_NURSERY": "off", **environment}
    command = [sys.executable, "-m", "pupitre.cli", "capacity", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False, env=surroundings)


def notebook(folder: Path, *cells: str) -> Path:
    file = folder / "course.ipynb"
    code: list[dict[str, Any]] = [{"cell_type": "code", "source": cell} for cell in cells]
    file.write_text(json.dumps({"nbformat": 4, "cells": [{"cell_type": "markdown", "source": "# x"}, *code]}))
    return file


def test_a_notebook_is_measured_on_both_kernels(tmp_path: Path) -> None:
    """One real run: two kernels each, from a private nursery, with a cell that takes 30 MB."""
    file = notebook(tmp_path, "a = 1\na + 1", "big = b'x' * 30_000_000", "no_such_name")
    (tmp_path / "nursery.toml").write_text('import = ["json"]\n')
    done = capacity("--kernels", "2", "--notebook", str(file), "--config", str(tmp_path / "nursery.toml"), "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    ours, peer = found["contestants"]
    assert ours["name"].startswith("Pupitre")
    assert peer["name"].startswith("ipykernel")
    for one in (ours, peer):
        assert one["cells"] == 3
        assert one["failed"] == ["no_such_name: NameError: name 'no_such_name' is not defined"]
        ready, after = one["stages"]["ready"], one["stages"]["notebook"]
        assert 28 < after["private_mb"] - ready["private_mb"] < 45
        assert after["proportional_mb"] > after["private_mb"]
        assert after["fit"] < ready["fit"]
    assert ours["stages"]["ready"]["private_mb"] < peer["stages"]["ready"]["private_mb"] / 3
    assert ours["stages"]["ready"]["fit"] > peer["stages"]["ready"]["fit"]
    assert 1 < found["nursery"]["fixed_mb"] < 200
    assert leftovers(tmp_path) == []


def leftovers(folder: Path) -> list[str]:
    """Command lines of processes that were started in this folder and are still there."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cwd").readlink() == folder and int(entry.name) != os.getpid():
                found.append((entry / "cmdline").read_text().replace("\0", " "))
        except OSError:
            pass
    return found


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["--kernels", "0"], 2, "must be a number from 1"),
        (["--kernels", "many"], 2, "must be a number from 1"),
        (["--reserve", "-3"], 2, "not negative"),
        (["--notebook", "/no/such.ipynb"], 1, "No such file"),
        (["--notebook", "/dev/null"], 1, "/dev/null is not a notebook"),
        (["--plot", "/no/such/folder/x.png"], 1, "there is no folder /no/such/folder"),
        (["--socket", "/no/such.sock"], 1, "the nursery at /no/such.sock would not fork a kernel of yours"),
        (["--config", "/no/such.toml"], 1, "cannot read /no/such.toml"),
        (["--socket", "/x", "--private"], 2, "not allowed with"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(words: list[str], status: int, says: str) -> None:
    done = capacity(*words)
    assert done.returncode == status
    assert says in done.stderr
    assert done.stdout == ""
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("pupitre capacity: ")
    assert "Traceback" not in done.stderr


def test_a_missing_kernel_is_said(tmp_path: Path) -> None:
    done = capacity(PUPITRE_KERNEL_BIN=str(tmp_path / "gone"))
    assert done.returncode == 1
    assert f"{tmp_path}/gone is missing" in done.stderr


def test_a_notebook_without_code_is_refused(tmp_path: Path) -> None:
    done = capacity("--notebook", str(notebook(tmp_path)))
    assert done.returncode == 1
    assert "has no code cell" in done.stderr
