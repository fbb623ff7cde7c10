# SPDX-License-Identifier: BSD-3-Clause
"""Hostile places to start in: the kernel starts and answers, whatever lies in its working directory and HOME."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hostile_kernel import UNSET, HostileKernel, judge

SHADOWS = (
    "random", "json", "code", "email", "types", "asyncio", "IPython", "traitlets", "sitecustomize", "usercustomize",
    "string", "struct", "socket", "select", "signal", "threading", "tokenize", "inspect", "numbers", "abc", "enum",
    "comm", "matplotlib_inline", "decorator", "stack_data", "pupitre", "_pupitre", "jedi", "sqlite3", "encodings",
)  # fmt: skip


def starts(folder: Path, **environment: str) -> None:
    with HostileKernel(folder, **environment) as kernel:
        kernel.wait_until_ready()
        assert judge(kernel, "print('here')\n%history -l 1")[0] == "usable"


def prepare(folder: Path) -> tuple[Path, Path]:
    home, work = folder / "home", folder / "work"
    home.mkdir()
    work.mkdir()
    return home, work


@pytest.mark.parametrize("kind", ["raises", "empty", "exits"])
def test_shadowing_modules(kind: str, tmp_path: Path) -> None:
    """random.py and many others of names the kernel imports, in the folder of the notebook."""
    _, work = prepare(tmp_path)
    text = {"raises": "raise RuntimeError('shadow')", "empty": "", "exits": "import os; os._exit(77)"}[kind]
    for name in SHADOWS:
        (work / f"{name}.py").write_text(text)
    starts(tmp_path)


def test_shadowing_package_is_importable(tmp_path: Path) -> None:
    """What does not hide the standard library can be imported from the notebook's folder."""
    _, work = prepare(tmp_path)
    (work / "neighbour.py").write_text("answer = 42")
    with HostileKernel(tmp_path) as kernel:
        kernel.wait_until_ready()
        assert judge(kernel, "import neighbour\nassert neighbour.answer == 42")[0] == "usable"
        answer = kernel.follow(kernel.execute("import neighbour; assert neighbour.answer == 42"), 10)
        assert [reply["status"] for reply in answer.replies] == ["ok"], str(answer)


def test_broken_user_site(tmp_path: Path) -> None:
    """~/.local/lib/python3.x/site-packages with packages that raise, and a .pth that does."""
    home, _ = prepare(tmp_path)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = home / ".local" / "lib" / version / "site-packages"
    site.mkdir(parents=True)
    for name in ("traitlets", "IPython", "pexpect", "decorator", "jedi", "comm", "psutil", "pygments"):
        (site / name).mkdir()
        (site / name / "__init__.py").write_text("raise RuntimeError('broken user site')")
    (site / "broken.pth").write_text("import nothing_of_this_name\n\0\n")
    (site / "usercustomize.py").write_text("raise RuntimeError('usercustomize')")
    starts(tmp_path)


def test_broken_ipython_profile(tmp_path: Path) -> None:
    """A startup file and a configuration that raise, a history that is no database."""
    home, _ = prepare(tmp_path)
    profile = home / ".ipython" / "profile_default"
    (profile / "startup").mkdir(parents=True)
    (profile / "startup" / "00-first.py").write_text("raise RuntimeError('startup')")
    (profile / "startup" / "01-second.py").write_text("import sys; sys.exit(5)")
    (profile / "ipython_config.py").write_text("c.Nothing.at_all = 1\nraise RuntimeError('config')\n")
    (profile / "history.sqlite").write_bytes(b"garbage" * 1000)
    starts(tmp_path)


@pytest.mark.parametrize("home", ["/nonexistent/home", "", UNSET, "relative", "/dev/null"])
def test_home_missing(home: str, tmp_path: Path) -> None:
    starts(tmp_path, HOME=home)


@contextmanager
def mounted(place: Path, options: str) -> Iterator[None]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], check=True, timeout=10)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True, timeout=10)


@pytest.fixture
def full_home(tmp_path: Path) -> Iterator[Path]:
    """A HOME of 64 KiB that is full: a real small tmpfs as root; otherwise one that cannot be written at all."""
    home, _ = prepare(tmp_path)
    if os.geteuid() != 0:
        home.chmod(0o500)
        yield home
        home.chmod(0o700)
        return
    with mounted(home, "size=64k,mode=700"):
        filler = os.open(home / "filler", os.O_WRONLY | os.O_CREAT)
        with pytest.raises(OSError, match="No space left"):
            while True:
                os.write(filler, b"x" * 4096)
        os.close(filler)
        yield home


@pytest.fixture
def readonly_home(tmp_path: Path) -> Iterator[Path]:
    """A HOME nobody can write to, root included when we are root."""
    home, _ = prepare(tmp_path)
    if os.geteuid() != 0:
        home.chmod(0o500)
        yield home
        home.chmod(0o700)
        return
    with mounted(home, "size=64k,ro"):
        yield home


def test_home_full(full_home: Path) -> None:
    starts(full_home.parent)


def test_home_readonly(readonly_home: Path) -> None:
    starts(readonly_home.parent)


def test_history_locked(tmp_path: Path) -> None:
    """Another process holds the history database locked."""
    home, _ = prepare(tmp_path)
    profile = home / ".ipython" / "profile_default"
    profile.mkdir(parents=True)
    code = (
        "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute('create table held (x)'); "
        "db.commit(); db.execute('begin exclusive'); print('held', flush=True); sys.stdin.read()"
    )
    words = [sys.executable, "-c", code, str(profile / "history.sqlite")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        try:
            starts(tmp_path)
        finally:
            holder.kill()


ENVIRONMENTS = {
    "python_variables": {"PYTHONSTARTUP": "/nowhere", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONWARNINGS": "error"},
    "python_inspect": {"PYTHONINSPECT": "1", "PYTHONUNBUFFERED": "1", "PYTHONVERBOSE": "1"},
    "python_faulthandler": {"PYTHONFAULTHANDLER": "1", "PYTHONTRACEMALLOC": "3", "PYTHONDEVMODE": "1"},
    "python_path": {"PYTHONPATH": "/nowhere:/dev/null:\udcff"},
    "locale": {"LC_ALL": "xx_YY.nothing", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"},
    "terminal": {"TERM": "", "COLUMNS": "x", "LINES": "-1"},
    "no_user": {"USER": UNSET, "LOGNAME": UNSET, "PATH": UNSET, "LANG": UNSET, "TMPDIR": "/nowhere"},
    "ipython_folder": {"IPYTHONDIR": "/dev/null/x", "JUPYTER_RUNTIME_DIR": "/dev/null/x"},
    "matplotlib": {"MPLBACKEND": "module://nothing", "MPLCONFIGDIR": "/dev/null/x"},
}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_environment(name: str, tmp_path: Path) -> None:
    starts(tmp_path, **ENVIRONMENTS[name])


def test_working_directory_deleted(tmp_path: Path) -> None:
    """The kernel's folder vanishes before the first cell."""
    with HostileKernel(tmp_path) as kernel:
        kernel.work.rmdir()
        kernel.wait_until_ready()
        assert judge(kernel, "import os\nos.getpid()")[0] == "usable"
