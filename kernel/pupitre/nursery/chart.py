# SPDX-License-Identifier: BSD-3-Clause
"""Tells and draws what `pupitre capacity` found: lines of plain characters, or a picture."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

from pupitre.nursery.fit import Report, is_disturbed
from pupitre.nursery.weigh import Lesson, Trouble

BAR = 44  # characters
COLORS = ("#0f766e", "#e07b39")


def gigabytes(megabytes: float) -> str:
    return f"{megabytes / 1024:.1f} GB"


def bar(value: float, most: float) -> str:
    """Plain characters; at least one for what is there at all."""
    return "#" * max(1, round(BAR * value / most)) if value > 0 and most > 0 else ""


def text(report: Report) -> Iterator[str]:
    """The report for people, a line at a time."""
    machine = report.machine
    yield f"memory     {gigabytes(machine.total)}, of which {gigabytes(machine.available)} are available now"
    yield f"           {gigabytes(machine.reserve)} of that stay free"
    taken = f", which takes {report.fixed:.0f} MB once" if report.fixed else ""
    yield f"nursery    {report.nursery}{taken}"
    yield f"measured   {report.kernels} kernels of each kind, all alive; MB for each kernel, all its processes together"
    for lesson in report.lessons:
        yield ""
        yield from _table(lesson)
    if any(is_disturbed(weight) for lesson in report.lessons for weight in lesson.weights.values()):
        yield ""
        yield "all-in is - where other programs took or gave back too much memory meanwhile"
    yield ""
    yield from _bars(report)
    yield ""
    yield from _students(report)


def _table(lesson: Lesson) -> Iterator[str]:
    width = max(map(len, lesson.weights))
    yield f"{lesson.name}"
    yield f"  {'after':<{width}}  {'private':>8}  {'proportional':>12}  {'all-in':>8}"
    for stage, weight in lesson.weights.items():
        all_in = "-" if is_disturbed(weight) else f"{weight.all_in:.1f}"
        sizes = f"{weight.private:>8.1f}  {weight.proportional:>12.1f}  {all_in:>8}"
        yield f"  {stage:<{width}}  {sizes}"
    if lesson.failed:
        yield f"  {len(lesson.failed)} of {lesson.cells} cells failed; the first: {lesson.failed[0]}"


def _bars(report: Report) -> Iterator[str]:
    most = max(weight.private for lesson in report.lessons for weight in lesson.weights.values())
    names = max(len(lesson.name) for lesson in report.lessons)
    width = max(map(len, report.lessons[0].weights))
    yield "private memory of a kernel, MB"
    for stage in report.lessons[0].weights:
        for i, lesson in enumerate(report.lessons):
            value = lesson.weights[stage].private
            label = stage if i == 0 else ""
            yield f"  {label:<{width}}  {lesson.name:<{names}}  {bar(value, most)} {value:.1f}"


def _students(report: Report) -> Iterator[str]:
    stages = list(report.lessons[0].weights)
    shown = dict.fromkeys([*(stage for stage in ("10 cells",) if stage in stages), stages[-1]])
    names = max(len(lesson.name) for lesson in report.lessons)
    extra = f", {report.extra:.0f} MB more for each" if report.extra else ""
    yield f"students that fit now, one kernel each{extra}"
    for stage in shown:
        what = (
            "ten cells each"
            if stage == "10 cells"
            else "the notebook each"
            if stage == "notebook"
            else "the whole lesson each"
        )
        for lesson in report.lessons:
            found = report.fits(lesson, stage)
            limit = "" if found.by == "memory" else "  (as many processes as kernel.pid_max allows)"
            yield f"  {what:<21}  {lesson.name:<{names}}  {found.count:>7,}{limit}"
    if not report.extra:
        yield "  A Jupyter server for each student comes on top: --extra MB counts it in."


def refuse_plot(file: Path) -> None:
    """Trouble where draw() could not work, before anything is measured."""
    if importlib.util.find_spec("matplotlib") is None:
        raise Trouble("--plot needs matplotlib, which is not installed here")
    if not file.absolute().parent.is_dir():
        raise Trouble(f"there is no folder {file.absolute().parent}")


def draw(report: Report, file: Path) -> None:
    """Private memory by stage as a picture. Raises OSError, or ValueError for a format that is not known."""
    from matplotlib.figure import Figure

    stages = list(report.lessons[0].weights)
    picture = Figure(figsize=(9, 4.5), dpi=110, layout="constrained")
    axes = picture.add_subplot()
    width = 0.8 / len(report.lessons)
    for at, lesson in enumerate(report.lessons):
        places = [n + (at - (len(report.lessons) - 1) / 2) * width for n in range(len(stages))]
        sizes = [weight.private for weight in lesson.weights.values()]
        fits = report.fits(lesson, stages[-1]).count
        label = f"{lesson.name}: {fits:,} students fit"
        bars = axes.bar(places, sizes, width * 0.94, label=label, color=COLORS[at % len(COLORS)])
        axes.bar_label(bars, [f"{size:.1f}" for size in sizes], fontsize=8)
    axes.set_xticks(range(len(stages)), stages)
    axes.set_ylabel("private memory of a kernel, MB")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    picture.savefig(file)
