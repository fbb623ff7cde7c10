# SPDX-License-Identifier: BSD-3-Clause
"""Random lives: a kernel each, some hundred requests of every kind, with Stop at random instants, slow and vanishing
clients, malformed messages and comm traffic. What must hold is said in ledger.py.

PUPITRE_RANDOM_REQUESTS: how many requests in all. PUPITRE_RANDOM_SEED: 123 plays the lives 123/0, 123/1, ...; 123/7
plays that one again. The steps of a life depend on its seed only; when they meet the kernel depends on the machine.
"""

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from launch import Kernel
from plan import plan
from player import Player

IN_A_LIFE = 200
REQUESTS = int(os.environ.get("PUPITRE_RANDOM_REQUESTS", "1000"))
SEED = os.environ.get("PUPITRE_RANDOM_SEED") or str(secrets.randbelow(10**9))
SEEDS = [SEED] if "/" in SEED else [f"{SEED}/{life}" for life in range(-(-REQUESTS // IN_A_LIFE))]


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    directory = Path(tempfile.mkdtemp(prefix="pt-"))
    kernel = Kernel(directory)
    yield kernel
    kernel.close()
    shutil.rmtree(directory, ignore_errors=True)


@pytest.mark.parametrize("seed", SEEDS)
def test_life(kernel: Kernel, seed: str) -> None:
    player = Player(kernel)
    try:
        player.play(plan(seed, IN_A_LIFE))
    except BaseException as problem:
        where = f"at step {player.step} after {player.judged} requests"
        what = f"{type(problem).__name__}: {problem}\n{kernel.report()}"
        pytest.fail(f"PUPITRE_RANDOM_SEED={seed} {where}: {what}", pytrace=False)
    assert player.judged >= IN_A_LIFE


def test_a_seed_says_all() -> None:
    assert plan("1/1", 500) == plan("1/1", 500) and plan("1/1", 500) != plan("1/2", 500)
