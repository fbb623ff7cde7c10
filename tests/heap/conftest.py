# SPDX-License-Identifier: BSD-3-Clause
"""heap-driver, a plain Python with the module _nursery built in, and what it is asked to do."""

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
DEADLINE = 100  # seconds
THREADS = ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "BLIS", "VECLIB")
Driver = Callable[..., Any]


@pytest.fixture(scope="session")
def driver_path() -> str:
    """$PUPITRE_HEAP_DRIVER, else build/heap's, brought up to date: without sanitizers, which rule the tricks out."""
    named = os.environ.get("PUPITRE_HEAP_DRIVER")
    if named:
        return named
    build = ROOT / "build" / "heap"
    build.mkdir(parents=True, exist_ok=True)
    options = ["-G", "Ninja", "-DPUPITRE_TESTS=ON", f"-DPython3_EXECUTABLE={sys.executable}"]
    with open(build / ".lock", "w") as lock, open(build / "build.log", "w") as log:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for command in (
            ["cmake", "-S", str(ROOT), "-B", str(build), *options],
            ["cmake", "--build", str(build), "--target", "heap-driver"],
        ):
            subprocess.run(command, check=True, stdout=log, stderr=log, timeout=DEADLINE)
    return str(build / "tests" / "heap" / "heap-driver")


@pytest.fixture(scope="session")
def run_driver(driver_path: str) -> Driver:
    """Run a script, or code, in the driver; the JSON in the last line that it prints."""

    def run(script: str, *arguments: str, tuned: bool = False, **environment: str) -> Any:
        names = {f"{library}_NUM_THREADS": "1" for library in THREADS}
        keep = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        python = os.environ.get("PUPITRE_PYTHON", sys.executable)
        done = subprocess.run(
            [
                driver_path,
                *(["-m"] if tuned else []),
                *([script] if script.endswith(".py") else ["-c", script]),
                *arguments,
            ],
            env=keep | names | {"PUPITRE_PYTHON": python, "PYTHONPATH": str(HERE)} | environment,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
        )
        assert done.returncode == 0, f"{done.returncode}: {done.stderr[-4000:]}"
        return json.loads(done.stdout.splitlines()[-1])

    return run
