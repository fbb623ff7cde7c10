# SPDX-License-Identifier: BSD-3-Clause
"""The listener of a running class is killed again and again."""

from __future__ import annotations

import random
import time

from .crowd import Crowd
from .nursery import is_born
from .peers import OURS, parent
from .table import Bench, Figure, Goal, Result
from .wire import NoAnswer

LAUNCH_EVERY = 10  # kills; between them a kernel is started while the nursery is away or comes back
GONE_SECONDS = 20.0


def kills(bench: Bench) -> list[Result]:
    count, times = (30, 5) if bench.quick else (300, 50)
    what = f"{count} running kernels, their listener killed (-9) and started again {times} times: alive, state kept"
    templates: set[int] = set()
    try:
        figure = _kills(bench, count, times, templates)
        _refuse_leftovers(templates - set(bench.nursery.templates()))
    except NoAnswer as why:
        figure = Figure(None, str(why))
    return [Result("kills", what, Goal.at_least(count), {OURS[0]: figure})]


def _kills(bench: Bench, count: int, times: int, templates: set[int]) -> Figure:
    """Half of the kills hit a nursery that is ready, half one that still warms. `templates`: those seen."""
    nursery, chance = bench.nursery, random.Random(50)
    with Crowd(bench.born(), bench.home, count) as crowd:
        if crowd.start("mark = id(object())", 240).missing():
            raise NoAnswer("not all started")
        crowd.refuse_cold()
        launched = 0
        templates.update(nursery.templates())
        for kill in range(1, times + 1):
            nursery.kill()
            nursery.launch()
            if kill % LAUNCH_EVERY == 0:
                launched += _one_answers(bench)
            if kill % 2 or kill == times:
                nursery.await_ready()
                templates.update(nursery.templates())
            else:
                time.sleep(chance.uniform(0, 1))  # the instant of the kill is what varies here
        outcome = crowd.ask("assert mark", 120)
        alive = len(outcome.replies) - len(outcome.errors)
        note = f"{launched} of {times // LAUNCH_EVERY} launches meanwhile answered"
        if not _next_is_born(bench):
            raise NoAnswer("the next kernel starts cold")
        return Figure.count(alive, count, f"{note}, the next is forked")


def _one_answers(bench: Bench) -> bool:
    with bench.start(bench.born()) as kernel:
        client = kernel.client()
        return client.reply_to(client.execute("1+1"), 30).content["status"] == "ok"


def _next_is_born(bench: Bench) -> bool:
    with bench.start(bench.born()) as kernel:
        client = kernel.client()
        client.reply_to(client.execute("1+1"), 30)
        return is_born(kernel.process.pid)


def _refuse_leftovers(templates: set[int]) -> None:
    """NoAnswer when a template outlives its last worker and its listener."""
    deadline = time.monotonic() + GONE_SECONDS
    while left := [pid for pid in templates if parent(pid)]:
        if time.monotonic() > deadline:
            raise NoAnswer(f"{len(left)} templates outlived their workers")
        time.sleep(0.1)
