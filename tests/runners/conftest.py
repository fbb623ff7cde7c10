# SPDX-License-Identifier: BSD-3-Clause
"""Where the tools find the kernels: both are those of .venv, on top of which the tools have an environment."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

KERNELS = ("pupitre", "python3")
ENVIRONMENT = Path(sys.prefix)


@pytest.fixture(scope="session", autouse=True)
def both_environments() -> Iterator[None]:
    """Programs and kernelspecs of both, so that what the tools start by name is found. JUPYTER_PATH may lead to another
    kernel to be tried.
    """
    below = ENVIRONMENT.parent
    with pytest.MonkeyPatch.context() as patch:
        places = [os.environ.get("JUPYTER_PATH", ""), str(below / "share/jupyter")]
        patch.setenv("JUPYTER_PATH", os.pathsep.join(place for place in places if place))
        patch.setenv("PATH", os.pathsep.join([str(ENVIRONMENT / "bin"), str(below / "bin"), os.environ["PATH"]]))
        yield
