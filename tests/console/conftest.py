# SPDX-License-Identifier: BSD-3-Clause
"""One console and one kernel for each test, with directories of their own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from terminal import Terminal


@pytest.fixture
def kernel_name() -> str:
    """The kernelspec under test; TEST_KERNEL=python3 shows the same in ipykernel."""
    return os.environ.get("TEST_KERNEL", "pupitre")


@pytest.fixture
def console(kernel_name: str, tmp_path: Path) -> Iterator[Terminal]:
    """A console at its first prompt."""
    own = {name: str(tmp_path / name.lower()) for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR")}
    terminal = Terminal(kernel_name, {**os.environ, **own})
    try:
        terminal.wait_for_prompt(1)
        yield terminal
    finally:
        terminal.close()
