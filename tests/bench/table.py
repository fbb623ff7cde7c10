# SPDX-License-Identifier: BSD-3-Clause
"""Figures, goals and how they are shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from .peers import FLOOR, Kernel, Kind
from .wire import NoAnswer

OURS = "pupitre"
COLUMNS = (OURS, "ipykernel", "xeus-python", FLOOR)


@dataclass(frozen=True)
class Figure:
    """One cell of the table: a number that can be compared, or None with the words for why there is none."""

    value: float | None
    text: str

    @staticmethod
    def of(value: float, unit: str, note: str = "") -> Figure:
        digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
        number = f"{value:,.0f}" if float(value).is_integer() else f"{value:,.{digits}f}"
        return Figure(value, " ".join(word for word in (number, unit, note) if word))

    @staticmethod
    def count(value: int, of: int, note: str = "") -> Figure:
        return Figure(value, f"{value:,} of {of:,}" + (f", {note}" if note else ""))


Figures = dict[str, Figure]


@dataclass(frozen=True)
class Goal:
    """What Pupitre's figure must be: at most `limit` (of the peer's, if one is named), at least that many times less
    than the peer's, or just `limit`."""

    text: str
    limit: float
    kind: str  # "at most", "at least", "times", "faster"
    peer: str = ""

    @staticmethod
    def at_most(limit: float, unit: str = "") -> Goal:
        return Goal(f"≤ {limit:g} {unit}".strip(), limit, "at most")

    @staticmethod
    def at_least(limit: float, unit: str = "") -> Goal:
        return Goal(f"≥ {limit:g} {unit}".strip(), limit, "at least")

    @staticmethod
    def times(limit: float, peer: str) -> Goal:
        return Goal(f"≤ {limit:g} x {peer}", limit, "times", peer)

    @staticmethod
    def faster(limit: float, peer: str) -> Goal:
        return Goal(f"≥ {limit:g} x faster than {peer}", limit, "faster", peer)

    def judge(self, figures: Figures, paired_ratio: float | None) -> tuple[str, str]:
        """The ratio and the verdict in words. A paired ratio (measured block by block) beats one of the medians."""
        ours = figures.get(OURS)
        if ours is None:
            return "-", "not measured: pupitre is not installed"
        if ours.value is None:
            return "-", f"missed: {ours.text}"
        if not self.peer:
            return "-", self._verdict(ours.value)
        peer = figures.get(self.peer)
        if peer is None or not peer.value:
            return "-", f"not measured: {self.peer} {peer.text if peer else 'is not installed'}"
        ratio = paired_ratio if paired_ratio is not None else ours.value / peer.value
        ratio = 1 / ratio if self.kind == "faster" and ratio else ratio
        return f"{ratio:.2f} x", self._verdict(ratio)

    def _verdict(self, value: float) -> str:
        small_is_good = self.kind in ("at most", "times")
        by = value - self.limit if small_is_good else self.limit - value
        if by <= 0:
            return "met"
        return f"missed by {by / self.limit * 100:.0f} %" if self.limit else f"missed by {by:g}"


@dataclass
class Result:
    """One row as measured."""

    key: str
    what: str
    goal: Goal
    figures: Figures
    paired_ratio: float | None = None
    not_measured: list[str] = field(default_factory=list)

    def as_words(self) -> list[str]:
        ratio, verdict = self.goal.judge(self.figures, self.paired_ratio)
        cells = [self.figures[name].text if name in self.figures else "-" for name in COLUMNS]
        return [self.key, self.what, *cells, ratio, self.goal.text, verdict]

    def as_json(self) -> dict[str, object]:
        ratio, verdict = self.goal.judge(self.figures, self.paired_ratio)
        figures = {name: {"value": figure.value, "text": figure.text} for name, figure in self.figures.items()}
        row: dict[str, object] = {"row": self.key, "what": self.what, "figures": figures, "ratio": ratio}
        return row | {"target": self.goal.text, "verdict": verdict, "not_measured": self.not_measured}


HEADINGS = ["row", "what", *COLUMNS, "ratio", "target", "verdict"]


def as_markdown(results: Iterable[Result]) -> str:
    """The whole table, its columns aligned, fit for a terminal and for a README."""
    rows = [HEADINGS, *(result.as_words() for result in results)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADINGS))]
    lines = [
        "| " + " | ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


@dataclass
class Bench:
    """What every row is given: who takes part, where, and how thorough to be."""

    kinds: list[Kind]
    home: Path
    quick: bool
    interrupts: int
    idle_seconds: float

    @property
    def real(self) -> list[Kind]:
        """The kernels that run Python: all but the floor."""
        return [kind for kind in self.kinds if kind.name != FLOOR]

    def start(self, kind: Kind) -> Kernel:
        return Kernel(kind, self.home)


def each(kinds: Iterable[Kind], measure: Callable[[Kind], Figure]) -> Figures:
    """Measure every kind by itself; one that hangs or dies is shown as such and does not end the run."""
    figures: Figures = {}
    for kind in kinds:
        try:
            figures[kind.name] = measure(kind)
        except NoAnswer as why:
            figures[kind.name] = Figure(None, str(why))
    return figures
