# SPDX-License-Identifier: BSD-3-Clause
"""What a kernel of a class weighs after a lesson's steps: forked by a nursery, cold, and the peers."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import mean
from typing import Any

from pupitre.nursery.classroom import STATES, Step, write_csv
from pupitre.nursery.settings import TRICKS

from .nursery import is_born
from .peers import OURS, Kernel, Kind, private_mb
from .table import Bench, Figure, Goal, Result
from .wire import NoAnswer, RawClient

SETTLE_SECONDS = 5.0  # after the last step of all kernels: what each does when it is idle is done
STEP_SECONDS = 60.0
SINCE_312 = sys.version_info >= (3, 12)

# MB at most, (3.11, from 3.12 on): of the worker, as the design of the nursery states them.
WORKER_GOALS = {
    "ready": (1.4, 1.0),
    "10 cells": (4.2, 1.9),
    "traceback": (8.0, 3.8),
    "completion": (5.0, 3.5),
    "DataFrame": (8.0, 3.2),
    "plot": (16.0, 7.5),
    "full session": (29.0, 13.5),
}
KERNEL_GOALS = {"10 cells": (5.5, 3.5), "full session": (31.0, 15.0)}
FRONT_GOAL = 1.2


@dataclass
class Weight:
    """Private MB of one kernel."""

    whole: float
    front: float

    @property
    def worker(self) -> float:
        return self.whole - self.front


Weights = dict[str, list[Weight]]  # by state


def take_step(client: RawClient, step: Step) -> None:
    """One request of a student, waited for. NoAnswer when there is none, or a cell fails that should not."""
    if step.complete:
        content = {"code": step.code, "cursor_pos": len(step.code)}
        reply = client.reply_to(client.ask("complete_request", content), STEP_SECONDS)
        if not any("groupby" in match for match in reply.content["matches"]):
            raise NoAnswer("does not complete df.gro")
        return
    reply = client.run(step.code, STEP_SECONDS, store_history=True)
    name = reply.content.get("ename", "")  # xeus-python has more than the name in it
    if (reply.content["status"] == "error") != bool(step.fails) or step.fails not in name:
        raise NoAnswer(f"{reply.content.get('ename')}: {reply.content.get('evalue')}")


def weigh(bench: Bench, kind: Kind, states: list[str]) -> Weights:
    """Each state in fresh kernels of its own, all of them alive while they are weighed: siblings share."""
    write_csv(bench.home)
    rounds = 1 if bench.quick else 2
    with ExitStack() as stack:
        kernels = [(state, stack.enter_context(bench.start(kind))) for _ in range(rounds) for state in states]
        for state, kernel in kernels:
            client = kernel.client()
            client.settle(STEP_SECONDS)
            for step in STATES[state]:
                take_step(client, step)
            if kind.name == OURS[0] and not is_born(kernel.process.pid):
                raise NoAnswer("started cold")
        time.sleep(SETTLE_SECONDS)
        found: Weights = {state: [] for state in states}
        for state, kernel in kernels:
            found[state].append(_weight(kernel))
        return found


def _weight(kernel: Kernel) -> Weight:
    death = kernel.death()
    if death:
        raise NoAnswer(death)
    return Weight(kernel.private_mb(), private_mb(kernel.process.pid) if kernel.kind.name in OURS else 0.0)


def weigh_all(bench: Bench, states: list[str]) -> dict[str, Weights | str]:
    """By column: what was weighed, or why nothing was."""
    found: dict[str, Weights | str] = {}
    for kind in bench.contestants():
        try:
            found[kind.name] = weigh(bench, kind, states)
        except NoAnswer as why:
            found[kind.name] = str(why)
    return found


def lesson(bench: Bench) -> list[Result]:
    """The states beside the peers; then the same kernels under the goals for whole kernels and for fronts."""
    try:
        weights = weigh_all(bench, list(STATES))
    except NoAnswer as why:
        return [
            Result("lesson", "private memory of a lesson's kernels", Goal.none(), {OURS[0]: Figure(None, str(why))})
        ]
    results = [_state_result(state, weights) for state in STATES]
    for state, goals in KERNEL_GOALS.items():
        figures = {name: _figure(found, state, "whole") for name, found in weights.items()}
        what = f"private memory of the kernel, front and worker: {state}, numpy, pandas, matplotlib at hand"
        results.append(Result("kernel", what, Goal.at_most(goals[SINCE_312], "MB", "ipykernel"), figures))
    figures = {name: _figure(found, "10 cells", "front") for name, found in weights.items() if name in OURS}
    what = "... of which the front, after 10 cells"
    return [*results, Result("kernel", what, Goal.at_most(FRONT_GOAL, "MB"), figures)]


def _state_result(state: str, weights: dict[str, Weights | str]) -> Result:
    figures = {name: _figure(found, state, "worker") for name, found in weights.items()}
    for name in OURS:
        found, figure = weights.get(name), figures.get(name)
        if isinstance(found, dict) and figure:
            front = mean(weight.front for weight in found[state])
            figures[name] = Figure(figure.value, f"{figure.text} + {front:.2f} front")
    whole = {
        name: round(mean(weight.whole for weight in found[state]), 2)
        for name, found in weights.items()
        if isinstance(found, dict)
    }
    goal = WORKER_GOALS.get(state)
    limit = Goal.at_most(goal[SINCE_312], "MB", "ipykernel") if goal else Goal.none("ipykernel")
    ours, peer = whole.get(OURS[0]), whole.get("ipykernel")
    ratio = ours / peer if ours and peer else None
    details = {"state": state, "whole": whole}
    return Result("lesson", f"private memory of the worker: {state}", limit, figures, ratio, details=details)


def _figure(found: Weights | str, state: str, part: str) -> Figure:
    if isinstance(found, str):
        return Figure(None, found)
    return Figure.of(mean(getattr(weight, part) for weight in found[state]), "MB")


def tricks(bench: Bench) -> list[Result]:
    """The nursery with each trick left out: what a whole kernel weighs then. A row for each; Pupitre only."""
    usual, results = bench.without, []
    for without in ((), *((trick,) for trick in TRICKS), TRICKS):
        bench.change_nursery(without)
        name = "all tricks" if not without else "no trick" if len(without) > 1 else f"without {without[0]}"
        details: dict[str, Any] = {}
        try:
            found = weigh(bench, bench.born(), list(STATES))
            details = {state: round(mean(weight.whole for weight in found[state]), 2) for state in STATES}
            figure = Figure(details["full session"], " / ".join(f"{details[state]:.1f}" for state in STATES))
        except NoAnswer as why:
            figure = Figure(None, str(why))
        what = f"{name}: {' / '.join(STATES)}, MB of the kernel"
        results.append(Result("tricks", what, Goal.none(), {OURS[0]: figure}, details=details))
    bench.change_nursery(usual)
    return results
