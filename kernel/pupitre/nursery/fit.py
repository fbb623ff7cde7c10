# SPDX-License-Identifier: BSD-3-Clause
"""From what one kernel costs to how many fit: the arithmetic of `pupitre capacity`. Sizes are in MiB."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from pupitre import version
from pupitre.nursery.weigh import Lesson, Weight

# What the kernel of the machine keeps for two processes beside page tables: structs, stacks, sockets. MiB, as measured.
KEPT = 0.5
# More than that over what the processes themselves show was taken by others meanwhile.
PLAUSIBLE_FACTOR, PLAUSIBLE_MORE = 1.5, 2.0


@dataclass(frozen=True)
class Machine:
    """What can be given to kernels, MiB and tasks."""

    total: float
    available: float
    reserve: float
    tasks: int  # processes and threads that may still be started

    @property
    def room(self) -> float:
        return max(0.0, self.available - self.reserve)


@dataclass(frozen=True)
class Fit:
    """How many kernels, and what ends it: "memory" or "processes"."""

    count: int
    by: str


def cost_of(weight: Weight) -> float:
    """MiB that one more kernel takes: what the machine lost where that is plausible, else what the processes show."""
    shown = weight.private + weight.tables + KEPT
    if weight.all_in > PLAUSIBLE_FACTOR * shown + PLAUSIBLE_MORE:
        return shown
    return max(shown, weight.all_in)


def is_disturbed(weight: Weight) -> bool:
    """Whether other programs took or gave back so much memory meanwhile that all_in says nothing."""
    shown = weight.private + weight.tables + KEPT
    return weight.all_in > PLAUSIBLE_FACTOR * shown + PLAUSIBLE_MORE or weight.all_in < weight.private / 2


def fit(machine: Machine, weight: Weight, fixed: float = 0.0, extra: float = 0.0) -> Fit:
    """How many kernels of this weight fit. fixed: MiB that are there once; extra: MiB more for each student."""
    by_memory = int(max(0.0, machine.room - fixed) / (cost_of(weight) + extra))
    by_tasks = int(machine.tasks / max(1.0, weight.tasks))
    return Fit(by_memory, "memory") if by_memory <= by_tasks else Fit(by_tasks, "processes")


@dataclass
class Report:
    """All that was found."""

    machine: Machine
    kernels: int
    nursery: str  # its socket, or "private"
    fixed: float  # MiB of a private nursery, which are not taken yet; 0 for one that runs
    extra: float
    lessons: list[Lesson]

    def fits(self, lesson: Lesson, stage: str) -> Fit:
        fixed = self.fixed if lesson is self.lessons[0] else 0.0
        return fit(self.machine, lesson.weights[stage], fixed, self.extra)

    def as_json(self) -> dict[str, Any]:
        return {
            "pupitre": version(),
            "machine": asdict(self.machine),
            "kernels": self.kernels,
            "nursery": {"socket": self.nursery, "fixed_mb": round(self.fixed, 1)},
            "extra_mb": self.extra,
            "contestants": [
                {
                    "name": lesson.name,
                    "cells": lesson.cells,
                    "failed": lesson.failed,
                    "stages": {
                        stage: {
                            **{
                                f"{name}_mb": round(size, 2) for name, size in asdict(weight).items() if name != "tasks"
                            },
                            "tasks": weight.tasks,
                            "cost_mb": round(cost_of(weight), 2),
                            "disturbed": is_disturbed(weight),
                            "fit": self.fits(lesson, stage).count,
                            "limited_by": self.fits(lesson, stage).by,
                        }
                        for stage, weight in lesson.weights.items()
                    },
                }
                for lesson in self.lessons
            ],
        }
