# SPDX-License-Identifier: BSD-3-Clause
"""nbclient, nbconvert and papermill over notebooks that end badly: they fail where they fail with ipykernel."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import KERNELS
from pages import CASES
from tools import TOOLS, Run, compare

RUNS = [(tool, case) for tool in TOOLS for case in CASES if TOOLS[tool].takes(CASES[case])]


@pytest.mark.parametrize(("tool", "case"), RUNS, ids=[f"{tool}-{case}" for tool, case in RUNS])
def test_ends_as_with_ipykernel(tool: str, case: str, tmp_path: Path) -> None:
    runs = [Run(TOOLS[tool], CASES[case], kernel, tmp_path / kernel) for kernel in KERNELS]
    ours, theirs = [run.outcome() for run in runs]
    compare(ours, theirs, fails=TOOLS[tool].fails(case), leaves=CASES[case].leaves)
