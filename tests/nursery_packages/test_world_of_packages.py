# SPDX-License-Identifier: BSD-3-Clause
"""Nothing of the template's own surroundings is left in a kernel by what courses import: all together, and each alone
where PUPITRE_TEST_EACH is set (half a minute each).
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import world
from nursery import AS_ROOT, python_of
from test_ready import PACKAGES

EACH = list(PACKAGES) if os.environ.get("PUPITRE_TEST_EACH") else []

if AS_ROOT:

    @pytest.mark.timeout(600)
    @pytest.mark.parametrize("imports", [",".join(PACKAGES), *EACH], ids=["together", *EACH])
    def test_world_of_packages(environment: Path, directory: Path, imports: str) -> None:
        found = world.run(python_of(environment), environment, directory / "w", "--import", f"witness,{imports}")
        assert found.kept and found.unexplained() == []
