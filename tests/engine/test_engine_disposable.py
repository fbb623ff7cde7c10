# SPDX-License-Identifier: BSD-3-Clause
"""disposable.ask: a child does the work, or we do."""

import json
import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from pupitre import disposable

_done_by: list[int] = []


@pytest.fixture(autouse=True)
def enabled(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
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


@pytest.mark.parametrize("how", ["raises", "exits", "is killed"])
def test_what_a_child_cannot_do_we_do(how: str) -> None:
    parent = os.getpid()

    def fail_in_child() -> dict[str, Any]:
        if os.getpid() != parent:
            if how == "raises":
                raise ValueError
            os.kill(os.getpid(), 9) if how == "is killed" else os._exit(3)
        return work()

    answer = disposable.ask(fail_in_child)
    assert isinstance(answer, dict) and _done_by == [parent] and no_children()


def test_a_child_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    parent = os.getpid()
    monkeypatch.setattr(disposable, "_SECONDS", 0.1)

    def hang_in_child() -> dict[str, Any]:
        while os.getpid() != parent:
            time.sleep(60)
        return work()

    assert isinstance(disposable.ask(hang_in_child), dict) and no_children()


def test_an_interrupt_ends_the_child(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(reader: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(disposable, "_read", interrupt)
    with pytest.raises(KeyboardInterrupt):
        disposable.ask(work)
    assert no_children()
