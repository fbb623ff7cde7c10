# SPDX-License-Identifier: BSD-3-Clause
"""Private memory by state, beside the peers, as a picture."""

from __future__ import annotations

from pathlib import Path

from .peers import COLD, OURS
from .table import COLUMNS, Result

COLORS = {OURS[0]: "#0f766e", COLD: "#99d5cf", "ipykernel": "#e07b39", "xeus-python": "#8a7fb8"}
NAMES = {OURS[0]: "Pupitre, from a nursery", COLD: "Pupitre, cold"}


def whole_by_state(results: list[Result]) -> dict[str, dict[str, float]]:
    """State to column to private MB of the whole kernel, of the row `lesson`."""
    return {result.details["state"]: result.details["whole"] for result in results if "state" in result.details}


def draw(results: list[Result], facts: dict[str, str], file: Path) -> None:
    """A group of bars for each state. OSError when the file cannot be written."""
    from matplotlib.figure import Figure as Picture  # costs a second, and not every run draws

    states = whole_by_state(results)
    names = [name for name in COLUMNS if any(name in found for found in states.values())]
    picture = Picture(figsize=(11, 5), dpi=110, layout="constrained")
    axes = picture.add_subplot()
    width = 0.84 / max(1, len(names))
    for at, name in enumerate(names):
        places = [n + (at - (len(names) - 1) / 2) * width for n in range(len(states))]
        heights = [found.get(name, 0.0) for found in states.values()]
        label = NAMES.get(name, f"{name} {facts.get(name, '')}".strip())
        bars = axes.bar(places, heights, width * 0.92, label=label, color=COLORS[name])
        axes.bar_label(bars, [f"{h:.0f}" if h >= 10 else f"{h:.1f}" for h in heights], fontsize=7, padding=1)
    axes.set_xticks(range(len(states)), list(states))
    axes.set_ylabel("private memory of a kernel, MB")
    axes.set_title(f"What one more student costs: Python {facts['python'].split()[0]}, siblings alive", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="upper left")
    picture.savefig(file)
