# SPDX-License-Identifier: BSD-3-Clause
"""What waits until the student pauses, with a clock that the test turns."""

from collections.abc import Callable
from typing import Any

import pytest
from harness import Engine
from pupitre.pause import Pause


class Clock:
    """Stands in for kernel and loop."""

    def __init__(self) -> None:
        self.loop = self
        self.now = 100.0
        self.is_busy = False
        self.due: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_ours_later(self, delay: float, callback: Callable[[], None]) -> None:
        self.due.append((self.now + delay, callback))

    def turn(self, now: float) -> None:
        """Forward, calling what falls due."""
        while self.due and self.due[0][0] <= now:
            self.now, callback = self.due.pop(0)
            callback()
        self.now = now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def acts() -> list[float]:
    return []


@pytest.fixture
def pause(clock: Any, acts: list[float]) -> Pause:
    return Pause(clock, 3.0, lambda: acts.append(clock.now))


def test_acts_once(clock: Clock, pause: Pause, acts: list[float]) -> None:
    pause.put_off()
    clock.turn(200.0)
    assert acts == [103.0] and not clock.due
    pause.put_off()
    clock.turn(300.0)
    assert acts == [103.0, 203.0]


def test_put_off(clock: Clock, pause: Pause, acts: list[float]) -> None:
    """One timer, however often."""
    for now in (100.0, 101.0, 102.0, 104.5):
        clock.turn(now)
        pause.put_off()
        assert len(clock.due) == 1
    clock.turn(107.4)
    assert acts == []
    clock.turn(107.5)
    assert acts == [107.5]


def test_not_while_a_cell_runs(clock: Clock, pause: Pause, acts: list[float]) -> None:
    pause.put_off()
    clock.is_busy = True
    clock.turn(110.0)
    assert acts == []
    clock.is_busy = False
    clock.turn(120.0)
    assert acts == [112.0]


def test_after_whatever_was_asked(engine: Engine) -> None:
    rests: list[int] = []
    engine.kernel.rest_with(lambda: rests.append(1))
    try:
        engine.kernel.resting.seconds = 0.02
        engine.ok("t_pause = 1")
        engine.run_for(0.1)
        assert rests == [1]
        engine.request("complete_request", {"code": "t_pau", "cursor_pos": 5})
        engine.run_for(0.1)
        assert rests == [1, 1]
        engine.run_for(0.1)
        assert rests == [1, 1]
        engine.request("comm_open", {"comm_id": "c_pause", "target_name": "jupyter.widget.control", "data": {}})
        engine.run_for(0.1)
        assert rests == [1, 1, 1]
        engine.kernel.shell_handlers["t_pause"] = lambda stream, ident, message: None
        engine.request("t_pause", {})
        engine.run_for(0.1)
        assert rests == [1, 1, 1, 1]
    finally:
        engine.kernel.shell_handlers.pop("t_pause", None)
        engine.kernel.resting = None
