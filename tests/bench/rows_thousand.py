# SPDX-License-Identifier: BSD-3-Clause
"""A thousand live kernels on one machine: do they all answer, how fast, and what does each cost in all?"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import mean

from pupitre.nursery.classroom import FRAME, FRAME_HTML, IMPORTS, TEN_CELLS, write_csv

from .crowd import Crowd, Outcome
from .peers import OURS, Kind, available_mb
from .rows_weight import SINCE_312
from .table import Bench, Figure, Figures, Goal, Result
from .wire import NoAnswer

STARTING = 25  # kernels that start at the same time; the stampede is another row
CELLS_PER_SECOND = 50  # of all kernels together: of a thousand students each runs one in 20 s
LOAD_SECONDS = 40.0
CELL = "df.groupby('group')['score'].sum()"
SETTLE_SECONDS, SETTLE_EACH = 5.0, 0.02  # kernels that come to rest tidy up, all of them at once
WEIGHED = 20  # kernels whose processes are looked at one by one
PEERS = 40  # that many of a peer, which is enough for what one costs
ALL_IN_GOAL = 6.0
DEADLINE = 300.0


@dataclass
class Living:
    """What was seen of one crowd."""

    count: int
    answered: int
    all_in: float  # MB each
    private: float  # MB each, of some
    burst: float  # seconds until the last of as many cells asked for at once
    p50: float  # seconds
    p99: float
    lost: int
    client: float  # share of one processor that the client took under load


def thousand(bench: Bench) -> list[Result]:
    count = 100 if bench.quick else 1000
    found: dict[str, Living | str] = {}
    try:
        kinds = [kind for kind in bench.contestants() if kind.name != "cold"]
    except NoAnswer as why:
        kinds, found = [], {OURS[0]: str(why)}
    for kind in kinds:
        try:
            found[kind.name] = live(bench, kind, count if kind.name == OURS[0] else min(count, PEERS))
        except NoAnswer as why:
            found[kind.name] = str(why)
    return _results(found, count)


def live(bench: Bench, kind: Kind, count: int) -> Living:
    """Start them, give each ten cells and a DataFrame, weigh them, load them, ask all of them at once."""
    write_csv(bench.home)
    before = _settled_available()
    with Crowd(kind, bench.home, count) as crowd:
        for first in range(0, count, STARTING):
            outcome = crowd.start("1+1", DEADLINE, range(first, min(count, first + STARTING)))
            if outcome.missing():
                raise NoAnswer(f"{outcome.missing()} of {count} never answered")
        crowd.refuse_cold()
        crowd.listen()
        lost = 0
        for step in (*IMPORTS, *TEN_CELLS, *FRAME_HTML):
            lost += _lost(crowd, crowd.ask(step.code, DEADLINE), FRAME in step.code)
        time.sleep(SETTLE_SECONDS + SETTLE_EACH * count)
        all_in = (before - _settled_available()) / count
        private = mean(crowd.private_mb(kernel) for kernel in range(0, count, max(1, count // WEIGHED)))
        load, client = _load(crowd, count)
        lost += _lost(crowd, load, True)
        burst = crowd.ask("1+1", DEADLINE)
        lost += _lost(crowd, burst, True)
        good = count - burst.missing() - len(burst.errors)
        return Living(count, good, all_in, private, burst.last(), load.middle(), load.at(0.99), lost, client)


def _lost(crowd: Crowd, outcome: Outcome, shows: bool) -> int:
    """Replies, idles and (of a cell that shows something) results that are missing, and cells that failed."""
    wanted = len(outcome.asked)
    complete: Callable[[], bool] = lambda: outcome.idles >= wanted and (not shows or outcome.results >= wanted)  # noqa: E731
    crowd.take_until(complete, 10)
    missing = outcome.missing() + wanted - outcome.idles + (wanted - outcome.results if shows else 0)
    return missing + len(outcome.errors)


def _load(crowd: Crowd, count: int) -> tuple[Outcome, float]:
    """Cells at random kernels and instants, whether or not the ones before are answered; counted from when due."""
    chance = random.Random(1000)
    crowd.outcome = outcome = Outcome()
    begun = due = time.perf_counter()
    processor = crowd.client_seconds()
    while due < begun + LOAD_SECONDS:
        due += chance.expovariate(CELLS_PER_SECOND)
        crowd.take_until_time(due)
        crowd.send(chance.randrange(count), CELL, due)
    crowd.take_until(lambda: not outcome.missing(), 60)
    return outcome, (crowd.client_seconds() - processor) / (time.perf_counter() - begun)


def _settled_available() -> float:
    """MemAvailable in MiB, the middle of several: other programs breathe."""
    seen = []
    for _ in range(9):
        seen.append(available_mb())
        time.sleep(0.2)
    return sorted(seen)[len(seen) // 2]


def _results(found: dict[str, Living | str], count: int) -> list[Result]:
    def figures(make: Callable[[Living], Figure]) -> Figures:
        return {name: Figure(None, one) if isinstance(one, str) else make(one) for name, one in found.items()}

    def memory(one: Living) -> Figure:
        number = "" if one.count == count else f", of {one.count}"
        return Figure.of(one.all_in, "MB", f"(private {one.private:.1f}{number})")

    lived = f"{count:,} live kernels, each after 10 cells and a DataFrame"
    limit = Goal.at_most(ALL_IN_GOAL, "MB", "ipykernel") if SINCE_312 else Goal.none("ipykernel")
    return [
        Result(
            "thousand",
            f"{lived}: that answer when all are asked at once (peers: as many as said)",
            Goal.at_least(count),
            figures(lambda one: Figure.count(one.answered, one.count, f"the last after {one.burst:.2f} s")),
        ),
        Result("thousand", f"{lived}: all-in memory of each (fall of MemAvailable / N)", limit, figures(memory)),
        Result(
            "thousand",
            f"{lived}: p99 of a cell while {CELLS_PER_SECOND} cells a second run anywhere among them",
            Goal.none("ipykernel"),
            figures(
                lambda one: Figure.of(
                    one.p99 * 1000,
                    "ms",
                    f"(p50 {one.p50 * 1000:.1f}; {one.count} kernels; client {one.client * 100:.0f} % of a processor)",
                )
            ),
        ),
        Result(
            "thousand",
            f"{lived}: replies, idles and results lost, cells failed",
            Goal.at_most(0),
            figures(lambda one: Figure(one.lost, f"{one.lost} of {one.count} kernels' cells")),
        ),
    ]
