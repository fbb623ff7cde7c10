# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures: `folder`, short and open to all users; `per_user` and `system`, a listener of each mode in it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from listener import Listener


@pytest.fixture
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="pl-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def per_user(folder: Path) -> Iterator[Listener]:
    with Listener(folder) as listener:
        yield listener


@pytest.fixture
def system(folder: Path) -> Iterator[Listener]:
    """For all users."""
    assert os.geteuid() == 0, "root is needed to serve others"
    with Listener(folder, system=True) as listener:
        yield listener
