# SPDX-License-Identifier: BSD-3-Clause
"""A class arrives: one kernel after another, and many in one instant."""

from __future__ import annotations

import time
from statistics import median

from .crowd import Crowd, Outcome, refuse_too_many
from .nursery import is_born
from .peers import COLD, OURS, Kind
from .table import Bench, Figure, Figures, Goal, Result, each
from .wire import NoAnswer

ANALYSIS = """import numpy, pandas, matplotlib.pyplot
pandas.DataFrame({"n": numpy.arange(8), "x": numpy.linspace(0, 1, 8), "word": list("abcdefgh")})"""
SUM = "1+1"
BARE_MB = {OURS[0]: 6.0, COLD: 25.0, "ipykernel": 45.0, "xeus-python": 30.0}  # to refuse what cannot fit, nothing else
DEADLINES = {30: 180.0, 100: 240.0, 300: 480.0}  # seconds


def first_reply(bench: Bench) -> list[Result]:
    """One kernel at a time, in turns, with nothing but itself to wait for."""
    try:
        kinds = bench.contestants()
    except NoAnswer as why:
        return [Result("first", "exec to the first cell's reply", Goal.none(), {OURS[0]: Figure(None, str(why))})]
    times: dict[str, list[float]] = {kind.name: [] for kind in kinds}
    failures: dict[str, str] = {}
    for _ in range(5 if bench.quick else 20):
        for kind in kinds:
            try:
                times[kind.name].append(_first_reply(bench, kind))
            except NoAnswer as why:
                failures[kind.name] = str(why)
    figures: Figures = {name: Figure.of(median(taken) * 1000, "ms") for name, taken in times.items() if taken}
    figures |= {name: Figure(None, why) for name, why in failures.items()}
    what = "exec to the first cell's reply, forked by a nursery, median"
    return [Result("first", what, Goal.part(20, "ipykernel"), figures)]


def _first_reply(bench: Bench, kind: Kind) -> float:
    with bench.start(kind) as kernel:
        client = kernel.client()
        client.reply_to(client.execute(SUM), 30)
        took = time.perf_counter() - kernel.started
        if kind.name == OURS[0] and not is_born(kernel.process.pid):
            raise NoAnswer("started cold")
        return took


def stampede(bench: Bench) -> list[Result]:
    what = "30 kernels asked for in one instant import numpy, pandas, pyplot and show a DataFrame: until the last"
    return [_arrive(bench, "stampede", what, 30, ANALYSIS, Goal.part(30, "ipykernel"))]


def hundred(bench: Bench) -> list[Result]:
    what = "100 asked for in one instant, `1+1`: until the last"
    return [_arrive(bench, "hundred", what, 100, SUM, Goal.part(20, "ipykernel"))]


def three_hundred(bench: Bench) -> list[Result]:
    what = "300 asked for in one instant, `1+1`: until the last"
    return [_arrive(bench, "300", what, 300, SUM, Goal.part(20, "ipykernel"))]


def _arrive(bench: Bench, key: str, what: str, count: int, code: str, goal: Goal) -> Result:
    """The median of rounds (one for 100 and more); a kind of which one never starts has no figure."""
    rounds = 1 if bench.quick or count >= 100 else 3
    kinds: list[Kind] = []
    why = ""
    try:
        kinds = bench.contestants()
    except NoAnswer as reason:
        why = str(reason)

    def measure(kind: Kind) -> Figure:
        refuse_too_many(BARE_MB[kind.name] + (40 if code == ANALYSIS and kind.name != OURS[0] else 0), count)
        taken = sorted((_one_arrival(bench, kind, count, code) for _ in range(rounds)), key=lambda pair: pair[0])
        seconds, note = taken[len(taken) // 2]
        return Figure.of(seconds, "s", note)

    figures = each(kinds, measure) if kinds else {OURS[0]: Figure(None, why)}
    return Result(key, what, goal, figures)


def _one_arrival(bench: Bench, kind: Kind, count: int, code: str) -> tuple[float, str]:
    with Crowd(kind, bench.home, count) as crowd:
        outcome = crowd.start(code, DEADLINES[count])
        client = crowd.client_seconds()
        refuse_incomplete(outcome, count, DEADLINES[count])
        crowd.refuse_cold()
        return outcome.last(), f"(half by {outcome.middle():.2f}, client's own {client:.2f} s)"


def refuse_incomplete(outcome: Outcome, count: int, deadline: float) -> None:
    """NoAnswer unless all answered, and well."""
    if len(outcome.replies) < count:
        raise NoAnswer(f"{count - len(outcome.replies)} of {count} never answered in {deadline:.0f} s")
    if outcome.errors:
        raise NoAnswer(f"{len(outcome.errors)} failed: {outcome.errors[0]}")
