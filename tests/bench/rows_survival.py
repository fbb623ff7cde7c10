# SPDX-License-Identifier: BSD-3-Clause
"""What is left when a cell does its worst: death notices, a cleared sys.modules, interrupts at any instant."""

from __future__ import annotations

import random
import time

from .peers import Kernel, Kind
from .table import Bench, Figure, Goal, Result, each
from .wire import Message, NoAnswer, RawClient, is_idle

DEATHS = (
    "import ctypes; ctypes.string_at(0)",
    "import os; os._exit(3)",
    "import os; os.closerange(3, 256)",
)
NOTICE_SECONDS = 0.5


def deaths(bench: Bench) -> list[Result]:
    def shown(kind: Kind) -> Figure:
        times = [_notice(bench, kind, code) for code in DEATHS]
        good = [seconds for seconds in times if seconds is not None and seconds <= NOTICE_SECONDS]
        note = f"slowest {max(good) * 1000:.0f} ms" if good else ""
        return Figure.count(len(good), len(DEATHS), note)

    what = "string_at(0), os._exit(3), closing fds 3-255: error shown on the cell within 500 ms, or nothing broken"
    return [Result("deaths", what, Goal.at_least(3, "of 3"), each(bench.real, shown))]


def _notice(bench: Bench, kind: Kind, code: str) -> float | None:
    """Seconds until the cell shows an error, or until it is answered and the next one is too; None for neither."""
    with bench.start(kind) as kernel:
        client = kernel.client()
        client.settle()
        client.run("pass")
        begun = time.perf_counter()
        message_id = client.execute(code)
        try:
            messages = client.iopub_until(message_id, lambda m: m.type == "error" or is_idle(m), 3)
            took = time.perf_counter() - begun
            if messages[-1].type == "error":
                return took
            client.reply_to(message_id, 3)
            return took if _adds(client) else None
        except NoAnswer:
            return None


def _adds(client: RawClient) -> bool:
    reply = client.run("1+1", 8, user_expressions={"two": "1+1"})
    return bool(
        reply.content["status"] == "ok" and reply.content["user_expressions"]["two"]["data"]["text/plain"] == "2"
    )


def modules(bench: Bench) -> list[Result]:
    def next_cell(kind: Kind) -> Figure:
        with bench.start(kind) as kernel:
            client = kernel.client()
            client.settle()
            client.execute("import sys; sys.modules.clear()")
            try:
                return Figure(1, "answers") if _adds(client) else Figure(0, "wrong answer")
            except NoAnswer as why:
                raise NoAnswer(kernel.death() or f"hangs ({why})") from None

    what = "sys.modules.clear(), then 1+1"
    return [Result("modules", what, Goal.at_least(1, "answer"), each(bench.real, next_cell))]


STORM_CELLS = (
    "pass",
    "for i in range(3000): pass",
    "import time; time.sleep(0.002)",
    "import asyncio; await asyncio.sleep(0.002)",
)
STORM_SPREAD = 0.004  # seconds after the request within which the interrupt falls


def interrupts(bench: Bench) -> list[Result]:
    def storm(kind: Kind) -> Figure:
        kernel = bench.start(kind)
        try:
            return _storm(kernel, bench.interrupts if kind.name == "pupitre" else min(bench.interrupts, 2000))
        finally:
            kernel.close()

    what = f"interrupts at random instants, {bench.interrupts:,} of them: replies lost, and hits on the next cell"
    return [Result("interrupts", what, Goal.at_most(0), each(bench.real, storm))]


def _storm(kernel: Kernel, count: int) -> Figure:
    """Interrupt one cell after another; the cell after each must be untouched. Ends at the first three losses."""
    client = kernel.client()
    client.settle()
    chance = random.Random(3)
    lost = leaked = hit = 0
    for done in range(1, count + 1):
        message_id = client.execute(chance.choice(STORM_CELLS))
        _wait(chance.uniform(0, STORM_SPREAD))
        kernel.interrupt()
        try:
            hit += _finish(client, message_id).content["status"] == "error"
            leaked += _finish(client, client.execute("1+1")).content["status"] != "ok"
        except NoAnswer as why:
            lost += 1
            if kernel.death() or lost == 3:
                return Figure(
                    lost + leaked, f"{lost} lost, {leaked} leaked of the first {done:,}, then {kernel.death() or why}"
                )
            client.settle(10)
    return Figure(lost + leaked, f"{lost} lost, {leaked} leaked of {count:,} ({hit:,} hit)")


def _finish(client: RawClient, message_id: str) -> Message:
    reply = client.reply_to(message_id, 5)
    client.iopub_until(message_id, is_idle, 5)
    return reply


def _wait(seconds: float) -> None:
    """Spin: a sleep would round the instants to the scheduler's."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass
