# SPDX-License-Identifier: BSD-3-Clause
"""One console and one kernel for each test, with directories of their own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from terminal import Terminal


@pytest.fixture
def kernel_name() -> str:
    """The kernelspec under test; TEST_KERNEL=python3 shows the same in ipykernel."""
    return os.environ.get("TEST_KERNEL", "pupitre")


@pytest.fixture
def open_console(kernel_name: str, tmp_path: Path) -> Iterator[Callable[[], Terminal]]:
    """Opens a console at its first prompt; all of one test share their directories, as those of one person do."""
    own = {name: str(tmp_path / name.lower()) for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR")}
    opened: list[Terminal] = []

    def open_one() -> Terminal:
        opened.append(Terminal(kernel_name, {**os.environ, **own}))
        opened[-1].wait_for_prompt(1)
        return opened[-1]

    yield open_one
    for terminal in opened:
        terminal.close()


@pytest.fixture
def console(open_console: Callable[[], Terminal]) -> Terminal:
    return open_console()
