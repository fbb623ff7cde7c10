# SPDX-License-Identifier: BSD-3-Clause
"""A pytest plugin that runs the tests of other layers on kernels that a nursery forked: PUPITRE_TEST_NURSERY=1.

One nursery of the user's own is there for the whole run, and every kernel is told of it. The kernelspec that the tests
find is a copy whose pupitre-kernel has a pupitre-worker of its own beside it: whenever that file is opened, a kernel
was started cold. A test fails if one was, unless COLD says why that is right; then it fails if none was.
"""

from __future__ import annotations

import ctypes
import fnmatch
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from nursery import Nursery

VARIABLE = "PUPITRE_TEST_NURSERY"
IN_OPEN = 0x20
EVENT_SIZE = 16  # of an inotify event without a name

# Tests that bring a nursery of their own.
OTHERS = ("test_nursery_front.py",)

# Tests whose kernels start cold, by the end of their names, and why that is right.
ENVIRONMENT = "an environment variable changes the interpreter"
COLD: dict[str, str] = {
    "::test_a_mplbackend_of_the_user_wins": "a backend takes effect while matplotlib is imported",
    "::test_a_safe_path": ENVIRONMENT,
    "::test_a_profile_that_is_not_there": "a worker that cannot start is tried cold, which says why",
    "::test_a_a_kernel_that_cannot_start_answers_kernel_info": "a worker that cannot start is tried cold",
    "::test_a_a_foreign_orjson_is_not_used[[]*]": ENVIRONMENT,
    "::test_minimal_without[[]*]": "a nursery wants a caller with the same mounts",
    "::test_a_modules_of_the_user_do_not_shadow_ours": "the folder has modules of names that are imported already",
    "::test_a_odd_environment[[]LANG]": "the locale's encoding is not UTF-8",
    "::test_a_odd_environment[[]LC_ALL]": "the locale's encoding is not UTF-8",
    "::test_shadowing_modules[[]*]": "the folder has modules of names that are imported already",
    "::test_environment[[]python_inspect]": ENVIRONMENT,
    "::test_environment[[]python_faulthandler]": ENVIRONMENT,
    "::test_environment[[]locale]": ENVIRONMENT,
    "::test_environment[[]matplotlib]": "a backend takes effect while matplotlib is imported",
}

# Tests of what a warm kernel does otherwise, and why that is right.
OTHERWISE = {
    "[[]%precision when floats were shown before numpy]": "numpy is imported already, so IPython knows its floats",
}

# Tests whose kernels may start either way.
EITHER = {
    "::test_working_directory_deleted": "the folder vanishes while the kernel starts",
}


class Opens:
    """Counts how often a file is opened (inotify)."""

    def __init__(self, path: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self.fd = libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        assert self.fd >= 0 and libc.inotify_add_watch(self.fd, os.fsencode(path), IN_OPEN) >= 0

    def count(self) -> int:
        """Since it was asked last. Opens in one moment may count as one."""
        try:
            return len(os.read(self.fd, 1 << 16)) // EVENT_SIZE
        except BlockingIOError:
            return 0


def copy_installation(directory: Path) -> Path:
    """Programs and kernelspec of this environment, side by side; the path of pupitre-worker."""
    prefix = Path(sys.prefix)
    programs = directory / "programs"
    programs.mkdir()
    for program in ("bin/pupitre-kernel", "libexec/pupitre/pupitre-worker"):
        shutil.copy(prefix / program, programs)
    spec = directory / "kernels/pupitre"
    shutil.copytree(prefix / "share/jupyter/kernels/pupitre", spec)
    content = json.loads((spec / "kernel.json").read_text())
    content["argv"][0] = str(programs / "pupitre-kernel")
    (spec / "kernel.json").write_text(json.dumps(content))
    return programs / "pupitre-worker"


def reason_of(test: str, reasons: dict[str, str]) -> str | None:
    return next((reason for pattern, reason in reasons.items() if fnmatch.fnmatchcase(test, f"*{pattern}")), None)


class Warm:
    """The plugin."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="pw-"))
        self.directory.chmod(0o755)  # some tests start kernels as somebody else
        self.opens = Opens(copy_installation(self.directory))
        self.nursery: Nursery | None = None

    def start(self) -> None:
        many = ("--max-per-user", "1000", "--max-total", "1000", "--burst", "1000")
        self.nursery = Nursery(self.directory / "n", *many)
        python = Path(sys.executable).parent / "python3"
        # Of its own, so that it is the one beside which the copied pupitre-kernel would look.
        os.environ |= {"PUPITRE_NURSERY": str(self.nursery.socket), "PUPITRE_PYTHON": str(python)}
        os.environ.pop(VARIABLE, None)  # no kernel's business
        os.environ["JUPYTER_PATH"] = os.pathsep.join([str(self.directory), os.environ.get("JUPYTER_PATH", "")]).strip(
            ":"
        )

    def stop(self) -> None:
        if self.nursery:
            self.nursery.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def pytest_sessionstart(self) -> None:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        forks = self.nursery.status().forks if self.nursery else 0
        self.stop()
        if session.testscollected and not forks:
            raise pytest.UsageError("not one kernel was forked by the nursery")

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        others = [item for item in items if item.path.name in OTHERS or reason_of(item.nodeid, OTHERWISE)]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Iterator[None]:
        yield
        cold, reason = self.opens.count(), reason_of(item.nodeid, COLD)
        if reason_of(item.nodeid, EITHER):
            return
        assert not cold or reason, f"a kernel of this test was started cold ({cold})"
        assert cold or not reason, f"no kernel of this test was started cold, though {reason}"


def pytest_configure(config: pytest.Config) -> None:
    if os.environ.get(VARIABLE) and not config.pluginmanager.hasplugin("warm-kernels"):
        config.pluginmanager.register(Warm(), "warm-kernels")
