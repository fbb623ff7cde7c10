# SPDX-License-Identifier: BSD-3-Clause
"""One engine for all tests, in this process, on the fake door. IPython's shell is a singleton, so there is only one."""

import builtins
import getpass
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import fake
import pytest

fake.install()

from harness import Engine  # noqa: E402 - pupitre needs the fake first


@pytest.fixture(scope="session")
def the_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    home: Path = tmp_path_factory.mktemp("home")
    saved = {name: os.environ.get(name) for name in ("HOME", "IPYTHONDIR", "MPLBACKEND", "PYTHONSTARTUP")}
    real_input, real_getpass, hook = builtins.input, getpass.getpass, sys.displayhook
    os.environ["HOME"] = str(home)
    for name in ("IPYTHONDIR", "MPLBACKEND", "PYTHONSTARTUP"):
        os.environ.pop(name, None)
    engine = Engine(home)
    yield engine
    engine.close()
    builtins.input, getpass.getpass, sys.displayhook = real_input, real_getpass, hook
    for name, value in saved.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@pytest.fixture
def engine(the_engine: Engine) -> Iterator[Engine]:
    """The engine, with nothing in its way from the test before."""
    the_engine.begin_test()
    yield the_engine
    the_engine.end_test()
