# SPDX-License-Identifier: BSD-3-Clause
"""Warnings are a kernel's own: what packages and rehearsal set up or showed in the template hides none from a user."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from nursery import Begin, Nursery, Start
from raw import block

IMPORTED = "numpy, pandas, matplotlib.pyplot, scipy.stats, sklearn, IPython.core.completer"
# An empty mean warns from within numpy; a location warns once in a process.
WARN = block("""
    import numpy as np, warnings
    np.mean([])
    warnings.warn('careful', stacklevel=1)
""")


@pytest.mark.parametrize("nursery", ["user"], indirect=True)
def test_warnings_are_filtered_alike(nursery: Nursery, start: Start) -> None:
    """The filters of packages are there from the start; a cold kernel has the same ones when it has imported them."""
    filters = []
    for kernel in (start(nursery), start(None, cold=True)):
        client = kernel.client()
        client.ok(f"import {IMPORTED}, warnings", deadline=60)
        filters.append(client.evaluate("sorted(repr(each) for each in warnings.filters)"))
    assert filters[0] == filters[1] and len(filters[0]) > 5


@pytest.mark.long
def test_warnings_of_the_rehearsal_are_shown_again(begin: Begin, start: Start, directory: Path) -> None:
    notebook = directory / "rehearsal.ipynb"
    notebook.write_text(json.dumps({"cells": [{"cell_type": "code", "source": WARN}], "nbformat": 4}))
    nursery = begin("--import", "numpy", "--rehearsal", str(notebook))
    shown = []
    for kernel in (start(nursery), start(None, cold=True)):
        lines = kernel.client().ok(WARN, deadline=60).stderr.splitlines()
        shown.append([line.partition("Warning: ")[2] for line in lines if "Warning: " in line])
    assert shown[0] == shown[1] and "Mean of empty slice" in str(shown[0]) and "careful" in shown[0]
