# SPDX-License-Identifier: BSD-3-Clause
"""What the notebook tests share: the kernel's name and a place for its files that is not the user's own."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session")
def kernel_name() -> str:
    """The kernelspec under test; TEST_KERNEL=python3 runs the same pages in ipykernel."""
    return os.environ.get("TEST_KERNEL", "pupitre")


@pytest.fixture(scope="session", autouse=True)
def own_directories(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep history and connection files out of the home directory of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR"):
            patch.setenv(variable, str(tmp_path_factory.mktemp(variable.lower())))
        yield
