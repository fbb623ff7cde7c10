# SPDX-License-Identifier: BSD-3-Clause
"""A wheel built from this tree and installed, by pip alone, into a virtual environment somewhere else.

PUPITRE_TEST_PYTHONS names the interpreters to do that with, separated by colons; without it, the one of .venv.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYTHONS = os.environ.get("PUPITRE_TEST_PYTHONS", os.path.realpath(sys.executable)).split(":")
DEADLINE = 300.0  # seconds; pip may have to fetch things

Done = subprocess.CompletedProcess[str]


def run(*command: str | Path, deadline: float = 60.0, **environment: str | None) -> Done:
    """Run a program to its end; variables that are None are taken out of its environment. Joined output in stdout."""
    wanted = {name: value for name, value in {**os.environ, **environment}.items() if value is not None}
    return subprocess.run(
        command,
        env=wanted,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=deadline,
    )


class Installation:
    """One environment with Pupitre in it, and a home of its own."""

    def __init__(self, prefix: Path, home: Path) -> None:
        self.prefix = prefix
        self.home = home
        home.mkdir(parents=True, exist_ok=True)

    @property
    def kernel(self) -> Path:
        return self.prefix / "bin" / "pupitre-kernel"

    @property
    def spec(self) -> Path:
        return self.prefix / "share" / "jupyter" / "kernels" / "pupitre"

    def run(self, program: str, *arguments: str | Path, **environment: str | None) -> Done:
        """Run a program of the environment, as a user who never had anything to do with Jupyter."""
        untouched = dict.fromkeys(
            name for name in os.environ if name.startswith(("JUPYTER", "PUPITRE", "IPYTHON", "XDG"))
        )
        own = {"HOME": str(self.home), "PATH": "/usr/bin:/bin", "PYTHONPATH": None, "VIRTUAL_ENV": None}
        return run(self.prefix / "bin" / program, *arguments, **{**untouched, **own, **environment})

    def kernelspecs(self) -> dict[str, Any]:
        """What `jupyter kernelspec list` finds, by name."""
        shown = self.run("jupyter", "kernelspec", "list", "--json").stdout
        return json.loads(shown[shown.index("{\n") :])["kernelspecs"]

    def pupitre(self, *arguments: str | Path, **environment: str | None) -> Done:
        return self.run("python", "-m", "pupitre.cli", *arguments, **environment)


@pytest.fixture(scope="session", params=PYTHONS)
def python(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def wheel(python: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built as `pip install .` builds it."""
    folder = tmp_path_factory.mktemp("wheel")
    done = run(python, "-m", "venv", folder / "env", deadline=DEADLINE)  # Debian's own Python has no pip
    assert done.returncode == 0, done.stdout
    pip = folder / "env" / "bin" / "pip"
    done = run(pip, "wheel", "--no-deps", "--wheel-dir", folder, ROOT, deadline=DEADLINE)
    assert done.returncode == 0, done.stdout
    (built,) = folder.glob("*.whl")
    return built


def make(python: str, wheel: Path, folder: Path) -> Installation:
    """A new environment with the wheel and what it needs, and jupyter_client to try it with."""
    prefix = folder / "an environment"
    done = run(python, "-m", "venv", prefix, deadline=DEADLINE)
    assert done.returncode == 0, done.stdout
    constraints = ROOT / "requirements" / "constraints.txt"
    pip = (prefix / "bin" / "python", "-m", "pip", "install", "-q", "-c", constraints, wheel, "jupyter_client")
    done = run(*pip, deadline=DEADLINE)
    assert done.returncode == 0, done.stdout
    return Installation(prefix, folder / "home")


@pytest.fixture(scope="session")
def shared(python: str, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """The installation; tests must leave its prefix as it was."""
    return make(python, wheel, tmp_path_factory.mktemp("installed"))


@pytest.fixture
def installation(shared: Installation, tmp_path: Path) -> Iterator[Installation]:
    """The installation with a home that nobody used before."""
    before = sorted(path for path in shared.prefix.rglob("*") if "__pycache__" not in path.parts)
    yield Installation(shared.prefix, tmp_path / "home")
    assert before == sorted(path for path in shared.prefix.rglob("*") if "__pycache__" not in path.parts)
