# SPDX-License-Identifier: BSD-3-Clause
"""A kernel of each kind, for the tests that run the same cell in both."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from kernels import Kernel, Pair


def _pair(directory: Path) -> Iterator[Pair]:
    """Each with a home of its own, so that they share no history."""
    homes = directory / "theirs", directory / "ours"
    with (
        Kernel("python3", IPYTHONDIR=str(homes[0])) as theirs,
        Kernel("pupitre", IPYTHONDIR=str(homes[1])) as ours,
    ):
        yield Pair(theirs, ours)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    yield from _pair(tmp_path_factory.mktemp("shared"))


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """A pair of the test's own."""
    yield from _pair(tmp_path)
