# SPDX-License-Identifier: BSD-3-Clause
"""A disk that is full or cannot be written, and a history database that cannot be used: the kernel starts and runs,
says once and in one sentence what is not kept, and what the user had is still there.

What needs a file system of its own is mounted by root only; test_places.py has what everybody can try.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hostile_kernel import UNSET, HostileKernel, kernel_argv

SENTENCE = "Pupitre keeps this session's history in memory only: "
SAID_WITHIN = 15  # seconds; it comes a second after the cell
PATIENCE = 10


class Place:
    """Where a kernel starts: HOME in `folder`, perhaps a small file system of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder, folder / "home"
        self.profile = self.home / ".ipython" / "profile_default"
        self.database = self.profile / "history.sqlite"
        self.home.mkdir()

    @contextmanager
    def mounted(self, options: str) -> Iterator[None]:
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.home)], check=True, timeout=10)
        try:
            yield
        finally:
            subprocess.run(["umount", "-l", str(self.home)], check=True, timeout=10)

    def fill(self) -> None:
        with open(self.home / "filler", "wb", 0) as filler, pytest.raises(OSError, match="No space left"):
            while True:
                filler.write(b"x" * 4096)

    def remember(self) -> None:
        """A history of an earlier session, by IPython's own tables."""
        self.profile.mkdir(parents=True)
        with sqlite3.connect(self.database) as db:
            db.executescript(
                "create table sessions (session integer primary key autoincrement, start timestamp, end timestamp,"
                " num_cmds integer, remark text);"
                "create table history (session integer, line integer, source text, source_raw text,"
                " primary key (session, line));"
                "create table output_history (session integer, line integer, output text, primary key (session, line));"
                "insert into sessions values (1, '2026-01-01', null, null, '');"
                "insert into history values (1, 1, 'yesterday = 1', 'yesterday = 1');"
            )
        db.close()

    def remembered(self) -> list[str]:
        db = sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=PATIENCE)
        try:
            return [row[0] for row in db.execute("select source_raw from history order by session, line")]
        finally:
            db.close()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def text_of(kernel: HostileKernel, code: str) -> str:
    answer = kernel.follow(kernel.execute(code), PATIENCE)
    assert answer.complete and answer.replies[0]["status"] == "ok", f"{code}: {answer}"
    return answer.text


def works(kernel: HostileKernel, seconds: float = SAID_WITHIN) -> str:
    """Cells run, and history has them. What the kernel said of it, below the first cell; empty when it said nothing."""
    kernel.wait_until_ready()
    first = kernel.execute("first = 1")
    answer = kernel.follow(first, PATIENCE)
    assert answer.complete, str(answer)
    said = kernel.late(first, seconds)
    assert text_of(kernel, "print(first + 1)").strip() == "2"
    assert text_of(kernel, "%history -l 2").split("\n")[:2] == ["first = 1", "print(first + 1)"]
    return said


def one_sentence(said: str, *words: str) -> None:
    assert said.startswith(SENTENCE) and said.count("\n") == 1, said
    assert [word for word in words if word not in said] == []


if os.geteuid() == 0:

    def test_home_is_full(place: Place) -> None:
        with place.mounted("size=64k,mode=700"):
            place.fill()
            with HostileKernel(place.folder) as kernel:
                one_sentence(works(kernel), "No space left on device", str(place.home))
            assert (place.home / "filler").stat().st_size > 0

    def test_home_has_no_inodes_left(place: Place) -> None:
        """As a quota on files."""
        with place.mounted("size=64k,nr_inodes=2,mode=700"), HostileKernel(place.folder) as kernel:
            one_sentence(works(kernel), "No space left on device", str(place.home))

    def test_home_fills_while_the_kernel_runs(place: Place) -> None:
        """The history of before stays whole."""
        with place.mounted("size=512k,mode=700"):
            place.remember()
            with HostileKernel(place.folder) as kernel:
                kernel.wait_until_ready()
                place.fill()
                one_sentence(works(kernel), "database or disk is full", str(place.database))
            assert place.remembered() == ["yesterday = 1"]

    def test_home_is_read_only(place: Place) -> None:
        with place.mounted("size=512k,mode=700"):
            place.remember()
            subprocess.run(["mount", "-o", "remount,ro", str(place.home)], check=True, timeout=10)
            temporary = place.folder / "temporary"
            temporary.mkdir()
            with HostileKernel(place.folder, TMPDIR=str(temporary)) as kernel:
                one_sentence(works(kernel), "not a writable location", str(place.home / ".ipython"))
                kernel.shut_down()
            assert place.remembered() == ["yesterday = 1"]
            assert os.listdir(temporary) == []

    def test_connection_file_on_a_full_disk(place: Place) -> None:
        """Its ports are picked, and cannot be written into it: it stays as it is, and the sentence names it."""
        file = place.home / "kernel.json"
        content = {f"{channel}_port": 0 for channel in ("shell", "iopub", "stdin", "control", "hb")} | {"key": "k" * 32}
        with place.mounted("size=64k,mode=700"):
            file.write_text(json.dumps(content))
            place.fill()
            done = subprocess.run(kernel_argv(str(file)), capture_output=True, text=True, timeout=PATIENCE)
            assert done.returncode == 1
            said = f"pupitre-kernel: error: cannot write the connection file {file}: No space left on device\n"
            assert done.stderr == said
            assert json.loads(file.read_text()) == content and sorted(os.listdir(place.home)) == [
                "filler",
                "kernel.json",
            ]


@pytest.mark.parametrize("home", ["/nonexistent/home", UNSET])
def test_home_is_missing(place: Place, home: str) -> None:
    environment = {"HOME": home, "IPYTHONDIR": "/nonexistent/home/.ipython"}
    with HostileKernel(place.folder, **environment) as kernel:
        one_sentence(works(kernel), "/nonexistent/home", "not a writable location")


def test_history_is_locked(place: Place) -> None:
    place.remember()
    code = (
        "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute('begin exclusive'); "
        "print('held', flush=True); sys.stdin.read()"
    )
    words = [sys.executable, "-c", code, str(place.database)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout and holder.stdin and holder.stdout.readline() == b"held\n"
        try:
            with HostileKernel(place.folder) as kernel:
                one_sentence(works(kernel), "database is locked", str(place.database))
        finally:
            holder.kill()
    assert place.remembered() == ["yesterday = 1"]
    assert os.listdir(place.profile).count("history-corrupt.sqlite") == 0


def test_history_is_empty(place: Place) -> None:
    """A file of 0 bytes, as a full disk leaves it, is a new database."""
    place.profile.mkdir(parents=True)
    place.database.touch()
    with HostileKernel(place.folder) as kernel:
        assert works(kernel, 3) == ""
        kernel.shut_down()
    assert place.remembered()[:2] == ["first = 1", "print(first + 1)"]


def test_history_is_garbage(place: Place) -> None:
    """It is moved aside, and a new one begins."""
    place.profile.mkdir(parents=True)
    garbage = b"garbage " * 1000
    place.database.write_bytes(garbage)
    with HostileKernel(place.folder) as kernel:
        said = works(kernel)
        kernel.shut_down()
    aside = place.profile / "history-corrupt.sqlite"
    assert aside.read_bytes() == garbage and str(aside) in said
    assert place.remembered()[:2] == ["first = 1", "print(first + 1)"]


def test_history_is_not_opened_before_it_is_needed(place: Place) -> None:
    """On a slow disk nobody waits for it: neither the start nor a cell."""
    place.remember()
    code = """
import os
links = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
print([os.readlink(link) for link in links if os.path.islink(link) and "history" in os.readlink(link)])
"""
    with HostileKernel(place.folder) as kernel:
        kernel.wait_until_ready()
        assert text_of(kernel, code).strip() == "[]"
