# SPDX-License-Identifier: BSD-3-Clause
"""Figures, goals and how they are shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .nursery import Nursery
from .peers import COLD, FLOOR, Kernel, Kind
from .wire import NoAnswer

OURS = "pupitre"
COLUMNS = (OURS, COLD, "ipykernel", "xeus-python", FLOOR)


@dataclass(frozen=True)
class Figure:
    """One cell of the table: a number that can be compared, or None with the words for why there is none."""

    value: float | None
    text: str
    unit: str = ""

    @staticmethod
    def of(value: float, unit: str, note: str = "") -> Figure:
        digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
        number = f"{value:,.0f}" if float(value).is_integer() else f"{value:,.{digits}f}"
        return Figure(value, " ".join(word for word in (number, unit, note) if word), unit)

    @staticmethod
    def count(value: int, of: int, note: str = "") -> Figure:
        return Figure(value, f"{value:,} of {of:,}" + (f", {note}" if note else ""))


Figures = dict[str, Figure]


@dataclass(frozen=True)
class Goal:
    """What Pupitre's figure must be: at most `limit` (of the peer's, if one is named), at least that many times less
    than the peer's, or just `limit`. `beside` names the peer of the ratio where the goal itself has none."""

    text: str
    limit: float
    kind: str  # "at most", "at least", "times", "faster", "part", "none"
    peer: str = ""
    beside: str = ""

    @staticmethod
    def at_most(limit: float, unit: str = "", beside: str = "") -> Goal:
        return Goal(f"≤ {limit:g} {unit}".strip(), limit, "at most", beside=beside)

    @staticmethod
    def part(parts: int, peer: str) -> Goal:
        return Goal(f"≤ 1/{parts} of {peer}", 1 / parts, "part", peer)

    @staticmethod
    def none(beside: str = "") -> Goal:
        """No figure was promised: the row is told, not judged."""
        return Goal("-", 0.0, "none", beside=beside)

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
            beside = figures.get(self.beside)
            if paired_ratio is None and beside and beside.value:
                paired_ratio = ours.value / beside.value
            return _ratio(paired_ratio), self._verdict(ours.value)
        peer = figures.get(self.peer)
        if peer is None or not peer.value:
            return "-", f"not measured: {self.peer} {peer.text if peer else 'is not installed'}"
        ratio = paired_ratio if paired_ratio is not None else ours.value / peer.value
        ratio = 1 / ratio if self.kind == "faster" and ratio else ratio
        return _ratio(ratio), self._verdict(ratio)

    def _verdict(self, value: float) -> str:
        if self.kind == "none":
            return "-"
        small_is_good = self.kind in ("at most", "times", "part")
        by = value - self.limit if small_is_good else self.limit - value
        if by <= 0:
            return "met"
        return f"missed by {by / self.limit * 100:.0f} %" if self.limit else f"missed by {by:g}"


def _ratio(value: float | None) -> str:
    """In the form in which it is easily read: below a tenth as a part."""
    if value is None:
        return "-"
    return f"{value:.2f} x" if value >= 0.1 or value <= 0 else f"1/{1 / value:.1f}"


@dataclass
class Result:
    """One row as measured."""

    key: str
    what: str
    goal: Goal
    figures: Figures
    paired_ratio: float | None = None
    not_measured: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)  # for the JSON and the plot

    def as_words(self) -> list[str]:
        ratio, verdict = self.goal.judge(self.figures, self.paired_ratio)
        cells = [self.figures[name].text if name in self.figures else "-" for name in COLUMNS]
        return [self.key, self.what, *cells, ratio, self.goal.text, verdict]

    def as_json(self) -> dict[str, object]:
        ratio, verdict = self.goal.judge(self.figures, self.paired_ratio)
        figures = {name: {"value": figure.value, "text": figure.text} for name, figure in self.figures.items()}
        row: dict[str, object] = {"row": self.key, "what": self.what, "figures": figures, "ratio": ratio}
        return row | {
            "target": self.goal.text,
            "verdict": verdict,
            "not_measured": self.not_measured,
            "details": self.details,
        }


HEADINGS = ["row", "what", *COLUMNS, "ratio", "target", "verdict"]


def as_markdown(results: Iterable[Result]) -> str:
    """The whole table, its columns aligned, for a terminal and a README; without columns that hold nothing."""
    rows = [HEADINGS, *(result.as_words() for result in results)]
    used = [name not in COLUMNS or any(row[i] != "-" for row in rows[1:]) for i, name in enumerate(HEADINGS)]
    return as_aligned([[word for word, wanted in zip(row, used, strict=True) if wanted] for row in rows])


def as_aligned(rows: list[list[str]]) -> str:
    """Rows of words, the first being the headings, as a table that also reads well as it stands."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


@dataclass
class Bench:
    """What every row is given: who takes part, where, and how thorough to be. Leaving it ends its nursery."""

    kinds: list[Kind]
    home: Path
    quick: bool
    interrupts: int
    idle_seconds: float
    cold_too: bool = True  # rows of the nursery show a cold Pupitre beside
    without: tuple[str, ...] = ()  # tricks that the nursery leaves out
    _nursery: Nursery | None = None

    @property
    def real(self) -> list[Kind]:
        """The kernels that run Python: all but the floor."""
        return [kind for kind in self.kinds if kind.name != FLOOR]

    @property
    def nursery(self) -> Nursery:
        """The nursery of the bench, started by the first row that needs one. NoAnswer when it cannot be."""
        if self._nursery is None:
            ours = next((kind for kind in self.kinds if kind.name == OURS), None)
            if ours is None:
                raise NoAnswer("pupitre is not installed")
            self._nursery = Nursery(ours, self.home, self.without)
        return self._nursery

    def change_nursery(self, without: tuple[str, ...]) -> None:
        """From now on one that leaves out these tricks."""
        self.close()
        self.without = without

    def born(self) -> Kind:
        """Pupitre, its workers forked by the nursery. NoAnswer when there is none."""
        return replace(self.nursery.kind, nursery=str(self.nursery.socket))

    def contestants(self) -> list[Kind]:
        """Who takes part in the rows of the nursery."""
        found = []
        for kind in self.real:
            if kind.name != OURS:
                found.append(kind)
                continue
            found.append(self.born())
            if self.cold_too:
                found.append(replace(kind, name=COLD))
        return found

    def start(self, kind: Kind) -> Kernel:
        return Kernel(kind, self.home)

    def close(self) -> None:
        if self._nursery is not None:
            self._nursery.close()
            self._nursery = None

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def each(kinds: Iterable[Kind], measure: Callable[[Kind], Figure]) -> Figures:
    """Measure every kind by itself; one that hangs or dies is shown as such and does not end the run."""
    figures: Figures = {}
    for kind in kinds:
        try:
            figures[kind.name] = measure(kind)
        except NoAnswer as why:
            figures[kind.name] = Figure(None, str(why))
    return figures
