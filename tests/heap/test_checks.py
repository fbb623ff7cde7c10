# SPDX-License-Identifier: BSD-3-Clause
"""Children of a template behave as any Python does, after each trick and after all of them."""

import sys
from pathlib import Path
from typing import Any

import pytest
from checks import CHECKS
from conftest import Driver

TEMPLATE = str(Path(__file__).parent / "template.py")
TRICKS = ["freeze", "plug", "memfd", "immortal", "counters+memfd", "counters+plug+immortal+memfd"]


@pytest.fixture(scope="session", params=TRICKS)
def outcome(request: pytest.FixtureRequest, run_driver: Driver) -> Any:
    """What a template with these tricks said, and what its children died of."""
    return run_driver(TEMPLATE, request.param, *CHECKS, tuned=True) | {"tricks": request.param.split("+")}


def test_the_tricks_were_done(outcome: Any) -> None:
    said = outcome["said"]
    assert set(said) == set(outcome["tricks"]) - {"freeze"}
    if "plug" in said:
        assert said["plug"]["blocks"] > 100 and said["plug"]["chunks"] > 10
    if "memfd" in said:
        assert said["memfd"]["pieces"] > 5 and said["memfd"]["bytes"] > 10 << 20
    if "counters" in said:
        assert said["counters"]["codes"] > 5_000 and said["counters"]["counters"] > 50_000
    if "immortal" in said and sys.version_info >= (3, 12):
        assert said["immortal"]["objects"] > 50_000 and said["immortal"]["mortal"] > 0
    elif "immortal" in said:
        assert "3.12" in said["immortal"]["refused"]


@pytest.mark.parametrize("name", CHECKS)
def test_children(outcome: Any, name: str) -> None:
    failure = outcome["failures"][name]
    assert failure is None, failure
