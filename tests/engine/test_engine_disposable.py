# SPDX-License-Identifier: BSD-3-Clause
"""disposable.ask: a child does the work, or we do."""

import gc
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from pupitre import disposable

_done_by: list[int] = []


@pytest.fixture(autouse=True)
def enabled(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(disposable, "_ours", set(disposable._ours))
    disposable.remember()
    disposable.enabled = True
    if "threads" not in request.node.name:  # other tests of this process may have left some
        monkeypatch.setattr(disposable, "_is_small", lambda: True)
    _done_by.clear()
    yield
    disposable.enabled = False


def work(size: int = 1) -> dict[str, Any]:
    _done_by.append(os.getpid())
    return {"status": "ok", "pid": os.getpid(), "text": "é" * size}


def no_children() -> bool:
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return True
    return False


def test_a_child_does_the_work() -> None:
    answer = disposable.ask(work)
    assert isinstance(answer, bytes)
    assert json.loads(answer)["pid"] != os.getpid()
    assert _done_by == [] and no_children()


def test_an_answer_larger_than_a_pipe_arrives_whole() -> None:
    answer = disposable.ask(work, 500_000)
    assert isinstance(answer, bytes) and json.loads(answer)["text"] == "é" * 500_000


def test_not_unless_enabled() -> None:
    disposable.enabled = False
    answer = disposable.ask(work)
    assert isinstance(answer, dict) and answer["pid"] == os.getpid()


def test_not_beside_other_threads() -> None:
    go_on = threading.Event()
    thread = threading.Thread(target=go_on.wait)
    thread.start()
    try:
        assert isinstance(disposable.ask(work), dict)
    finally:
        go_on.set()
        thread.join()


@contextmanager
def a_file_to_write(place: Path) -> Iterator[None]:
    with (place / "file").open("w"):
        yield


@contextmanager
def a_connection(place: Path) -> Iterator[None]:
    left, right = socket.socketpair()
    with left, right:
        yield


@contextmanager
def a_pipe(place: Path) -> Iterator[None]:
    ends = os.pipe()
    yield
    for end in ends:
        os.close(end)


@contextmanager
def a_handler_of_sigchld(place: Path) -> Iterator[None]:
    before = signal.signal(signal.SIGCHLD, lambda number, frame: None)
    yield
    signal.signal(signal.SIGCHLD, before)


Holding = Callable[[Path], AbstractContextManager[None]]


@pytest.mark.parametrize("holding", [a_file_to_write, a_connection, a_pipe, a_handler_of_sigchld])
def test_not_where_a_child_could_spoil_something(tmp_path: Path, holding: Holding) -> None:
    with holding(tmp_path):
        assert isinstance(disposable.ask(work), dict)
    assert isinstance(disposable.ask(work), bytes)


def test_a_file_of_ours_may_be_open(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w"):
        assert isinstance(disposable.ask(work, spare=str(tmp_path / "file")), bytes)


def test_what_a_child_reads_is_not_missing(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")
    with (tmp_path / "file").open("rb", buffering=0) as file:

        def read() -> dict[str, Any]:
            return {"text": file.read(3).decode()}

        assert disposable.ask(read) == b'{"text":"012"}'
        assert file.tell() == 0 and disposable.ask(read) == b'{"text":"012"}'


def test_garbage_has_its_say_once(tmp_path: Path) -> None:
    """What a child were to collect, we would collect again."""
    said = tmp_path / "said"

    class Loud:
        def __del__(self) -> None:
            with said.open("a") as file:
                file.write(f"{os.getpid()}\n")

    def litter() -> dict[str, Any]:
        return {"last": [[object()] for _ in range(10_000)][-1] == []}

    gc.collect()
    gc.disable()
    loud = Loud()
    loud.me = loud  # type: ignore[attr-defined]
    del loud
    gc.enable()
    assert isinstance(disposable.ask(litter), bytes)
    gc.collect()
    assert said.read_text() == f"{os.getpid()}\n"


@pytest.mark.parametrize("how", ["raises", "exits", "is killed", "hangs"])
def test_nothing_is_done_twice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, how: str) -> None:
    """A child that fails has found nothing; from then on we do it ourselves."""
    monkeypatch.setattr(disposable, "_SECONDS", 0.1 if how == "hangs" else 30.0)
    parent = os.getpid()

    def fail_in_child() -> dict[str, Any]:
        with (tmp_path / "done").open("a") as file:
            file.write("x")
        if os.getpid() == parent:
            return work()
        if how == "raises":
            raise ValueError
        if how == "hangs":
            time.sleep(60)
        if how == "is killed":
            os.kill(os.getpid(), signal.SIGKILL)
        os._exit(3)

    assert disposable.ask(fail_in_child) is None
    assert (tmp_path / "done").read_text() == "x" and no_children()
    assert isinstance(disposable.ask(fail_in_child), dict) and _done_by == [parent]


def test_costly_findings_are_ours_from_then_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disposable, "_COSTLY", 0.0)
    assert isinstance(disposable.ask(work), bytes)
    assert isinstance(disposable.ask(work), dict)


def test_no_room_for_a_child(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> int:
        raise BlockingIOError

    before = os.listdir("/proc/self/fd")
    monkeypatch.setattr(os, "fork", fail)
    assert isinstance(disposable.ask(work), dict) and isinstance(disposable.ask(work), dict)
    assert os.listdir("/proc/self/fd") == before and signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_an_interrupt_ends_the_child(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(reader: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(disposable, "_read", interrupt)
    with pytest.raises(KeyboardInterrupt):
        disposable.ask(work)
    assert no_children()
