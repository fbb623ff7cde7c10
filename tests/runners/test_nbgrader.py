# SPDX-License-Identifier: BSD-3-Clause
"""A class of ten hands in; nbgrader grades them with each kernel and gives the same marks."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from conftest import KERNELS
from nbformat.v4 import new_code_cell, new_notebook
from pages import KILL, SEGFAULT
from tools import environment

DEADLINE = 600.0
CELL_SECONDS = 5
SLOW = "import time\ntime.sleep(0.3)\n"  # ipykernel goes on for a tenth of a second after exit()
SOLUTIONS = {1: "def double(x):\n    return 2 * x", 3: "def triple(x):\n    return 3 * x"}
# What each hands in instead of some cells of a good solution.
CLASS: dict[str, dict[int, str]] = {
    "ada": {},
    "ben": {0: "exit()"},
    "cid": {3: "quit"},
    "dora": {0: "import sys\nsys.exit()"},
    "eve": {0: "import os\nos._exit(0)"},
    "fay": {3: SEGFAULT},
    "gus": {3: "while True: pass"},
    "hal": {3: "1/0"},
    "ida": {1: "def double(x):\n    return x"},
    "kim": {3: KILL},
}
MARKS = """
    SELECT submitted_assignment.student_id, SUM(COALESCE(grade.manual_score, grade.auto_score, 0))
    FROM grade
    JOIN submitted_notebook ON grade.notebook_id = submitted_notebook.id
    JOIN submitted_assignment ON submitted_notebook.assignment_id = submitted_assignment.id
    GROUP BY 1
"""


def grader_cell(source: str, name: str, **more: object) -> object:
    flags = {"locked": False, "grade": False, "solution": False, "task": False}
    return new_code_cell(source, metadata={"nbgrader": {"schema_version": 3, "grade_id": name, **flags, **more}})


def assignment(kernel: str) -> object:
    """Two functions to write, five points each. Its kernel is what submissions are graded with, whatever they say."""
    cells = [new_code_cell("import math")]
    for name, factor in (("double", 2), ("triple", 3)):
        cells.append(
            grader_cell(
                f"def {name}(x):\n    ### BEGIN SOLUTION\n    return 0\n    ### END SOLUTION", name, solution=True
            )
        )
        cells.append(
            grader_cell(f"{SLOW}assert {name}(2) == {2 * factor}", f"test-{name}", grade=True, locked=True, points=5)
        )
    return new_notebook(
        cells=cells, metadata={"kernelspec": {"name": kernel, "display_name": "", "language": "python"}}
    )


def nbgrader(course: Path, *arguments: str) -> subprocess.Popen[bytes]:
    log = (course / "log").open("ab")
    command = [sys.executable, "-m", "nbgrader", *arguments]
    return subprocess.Popen(command, cwd=course, env=environment(course), stdout=log, stderr=log)


def hand_in(course: Path) -> None:
    for student, instead in CLASS.items():
        page = nbformat.read(str(course / "release/week/page.ipynb"), 4)
        for cell, source in {**SOLUTIONS, **instead}.items():
            page.cells[cell].source = source
        place = course / "submitted" / student / "week"
        place.mkdir(parents=True)
        nbformat.write(page, place / "page.ipynb")


def marks(course: Path) -> dict[str, float]:
    with sqlite3.connect(course / "gradebook.db") as gradebook:
        return dict(gradebook.execute(MARKS).fetchall())


@pytest.mark.timeout(DEADLINE)
def test_class_gets_the_marks_it_gets_with_ipykernel(tmp_path: Path) -> None:
    courses = {kernel: tmp_path / kernel for kernel in KERNELS}
    for kernel, course in courses.items():
        (course / "source/week").mkdir(parents=True)
        nbformat.write(assignment(kernel), course / "source/week/page.ipynb")
    for course, process in [(course, nbgrader(course, "generate_assignment", "week")) for course in courses.values()]:
        assert process.wait(DEADLINE) == 0, (course / "log").read_text()[-4000:]
    for course in courses.values():
        hand_in(course)
    grading = ("autograde", "week", "--create", f"--Execute.timeout={CELL_SECONDS}")
    for process in [nbgrader(course, *grading) for course in courses.values()]:
        assert process.wait(DEADLINE) == 1  # for those whose kernel died
    for kernel, course in courses.items():
        graded = nbformat.read(str(course / "autograded/ada/week/page.ipynb"), 4)
        assert graded.metadata["kernelspec"]["name"] == kernel
    ours, theirs = (marks(courses[kernel]) for kernel in KERNELS)
    assert theirs["ada"] == 10 and theirs["ben"] == 0, theirs
    assert ours == theirs
