# SPDX-License-Identifier: BSD-3-Clause
"""nbmake: pytest over a folder of notebooks, once with each kernel."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pages
import pytest
from conftest import KERNELS
from pages import CASES, CELL_SECONDS
from tools import environment

DEADLINE = 600.0
NAMES = {name.replace(" ", "_").replace("(", "").replace(")", ""): name for name in CASES if not CASES[name].startup}
Verdicts = dict[str, dict[str, tuple[bool, str]]]


def verdicts_of(report: Path, place: Path) -> dict[str, tuple[bool, str]]:
    """Whether each notebook passed, and its marks."""
    passed = {}
    for test in ElementTree.parse(report).iter("testcase"):
        page = str(test.get("classname")).removesuffix(".page.ipynb")
        passed[page] = test.find("failure") is None and test.find("error") is None
    return {page: (verdict, pages.ran(place / page)) for page, verdict in passed.items()}


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> Verdicts:
    """Of each kernel: notebook to verdict and marks."""
    processes = {}
    for kernel in KERNELS:
        place = tmp_path_factory.mktemp(kernel)
        for page, name in NAMES.items():
            (place / page).mkdir()
            pages.write(CASES[name], kernel, place / page)
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "--nbmake",
            f"--nbmake-timeout={CELL_SECONDS}",
        ]
        command += [f"--rootdir={place}", "--junitxml=report.xml", "-q", "."]
        log = (place / "log").open("w")
        processes[kernel] = (
            place,
            subprocess.Popen(command, cwd=place, env=environment(place), stdout=log, stderr=subprocess.STDOUT),
        )
    for place, process in processes.values():
        assert process.wait(DEADLINE) == 1, (place / "log").read_text()[-4000:]
    return {kernel: verdicts_of(place / "report.xml", place) for kernel, (place, _) in processes.items()}


@pytest.mark.timeout(DEADLINE)
@pytest.mark.parametrize("page", NAMES)
def test_verdict_is_that_with_ipykernel(verdicts: Verdicts, page: str) -> None:
    case = CASES[NAMES[page]]
    (ours, ours_ran), (theirs, theirs_ran) = (verdicts[kernel][page] for kernel in KERNELS)
    # It looks for errors in the page only, where an unknown magic leaves none.
    assert ours == theirs == (not case.fails or page == "no_such_magic")
    assert ours_ran == theirs_ran or (case.leaves and theirs_ran.startswith(ours_ran))
