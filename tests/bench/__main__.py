# SPDX-License-Identifier: BSD-3-Clause
"""Run the benchmarks: one run, one table.

Exit status 0 when rows could be measured, met or missed; 1 when none could; 2 for bad usage. With --strict, 1 also when
a target is missed. With --against only Pupitre is measured, this tree beside a commit, in turns; --strict is then about
rows that got worse."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from pupitre.nursery.settings import TRICKS

from . import (
    against,
    plot,
    rows_crowd,
    rows_idle,
    rows_kills,
    rows_latency,
    rows_memory,
    rows_neighbours,
    rows_output,
    rows_survival,
    rows_thousand,
    rows_weight,
)
from .peers import COLD, FLOOR, KERNELSPECS, Kernel, Kind, build_floor, find_kind, temporary_home
from .table import COLUMNS, Bench, Result, as_markdown
from .wire import NoAnswer

ROWS: dict[str, Callable[[Bench], list[Result]]] = {
    "memory": rows_memory.memory,
    "front": rows_memory.front,
    "start": rows_latency.start,
    "pass": rows_latency.empty_cell,
    "prints": rows_output.prints,
    "displays": rows_output.displays,
    "pause": rows_output.pause,
    "control": rows_latency.control,
    "restart": rows_latency.restart,
    "deaths": rows_survival.deaths,
    "modules": rows_survival.modules,
    "interrupts": rows_survival.interrupts,
    "idle": rows_idle.wakeups,
    "lesson": rows_weight.lesson,
    "first": rows_crowd.first_reply,
    "stampede": rows_crowd.stampede,
    "hundred": rows_crowd.hundred,
    "300": rows_crowd.three_hundred,
    "thousand": rows_thousand.thousand,
    "kills": rows_kills.kills,
    "neighbours": rows_neighbours.neighbours,
    "tricks": rows_weight.tricks,
}
OF_NURSERY = ("lesson", "first", "stampede", "hundred", "300", "thousand", "kills", "neighbours")
LONG = ("hundred", "300", "thousand", "kills", "neighbours", "tricks")  # minutes each
SHORT = tuple(row for row in ROWS if row not in LONG)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds: a look, not a figure to publish")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--rows", help=f"only these rows, with commas: {','.join(ROWS)}")
    which.add_argument("--nursery", action="store_true", help="the rows of the nursery, with those that take minutes")
    which.add_argument("--all", action="store_true", help="every row, which takes an hour")
    parser.add_argument("--kernels", default=",".join(COLUMNS), help="only these columns: %(default)s")
    parser.add_argument(
        "--prefix", action="append", default=[], type=Path, help="also look for kernels installed in PREFIX"
    )
    parser.add_argument("--interrupts", type=int, help="how many the interrupt row sends (default 4000, quick 500)")
    parser.add_argument("--idle", type=float, help="seconds of the idle row (default 60, quick 10)")
    parser.add_argument("--without", default="", help=f"tricks that the nursery leaves out: {','.join(TRICKS)}")
    parser.add_argument("--against", metavar="COMMIT", help="this tree beside that commit, both built in build/against")
    parser.add_argument("--rounds", type=int, default=10, help="how many turns of each with --against (%(default)s)")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the row `lesson` there (PNG)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there too")
    parser.add_argument("--strict", action="store_true", help="exit status 1 when a target is missed")
    options = parser.parse_args()
    usual = against.ROWS if options.against else SHORT
    options.rows = options.rows.split(",") if options.rows else list(usual)
    options.kernels = options.kernels.split(",")
    if options.nursery or options.all:
        options.rows = list(ROWS if options.all else OF_NURSERY)
    options.without = tuple(options.without.split(",")) if options.without else ()
    if options.plot and "lesson" not in options.rows:
        parser.error("--plot draws the row `lesson`, which is not among the rows")
    for given, known in ((options.rows, tuple(ROWS)), (options.kernels, COLUMNS), (options.without, TRICKS)):
        if unknown := [word for word in given if word not in known]:
            parser.error(f"unknown: {', '.join(unknown)} (known: {', '.join(known)})")
    return options


def participants(names: list[str], prefixes: list[Path], home: Path) -> list[Kind]:
    """The kernels that can be started here; one that cannot is named on stderr and its column stays empty."""
    kinds = []
    for name in [name for name in names if name in KERNELSPECS]:
        kind = find_kind(name, prefixes)
        if kind is None:
            say(f"not measured: {name} is not installed")
        else:
            kinds.append(kind)
    if FLOOR in names:
        try:
            kinds.append(build_floor(home))
        except (OSError, subprocess.SubprocessError) as why:
            say(f"not measured: the floor does not compile: {why}")
    return kinds


def warm_up(kinds: list[Kind], home: Path) -> None:
    """Start each once unmeasured: files are in the page cache and the IPython profile is made."""
    for kind in kinds:
        with Kernel(kind, home) as kernel:
            try:
                kernel.client().settle()
            except NoAnswer as why:
                say(f"{kind.name} does not start: {why}")


def describe(kinds: list[Kind]) -> dict[str, str]:
    info = dict(line.split(":", 1) for line in Path("/proc/cpuinfo").read_text().splitlines() if ":" in line)
    cpu = next((value.strip() for name, value in info.items() if name.strip() == "model name"), platform.machine())
    facts = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": f"{os.cpu_count()} x {cpu}, Linux {platform.release()}",
        "load": f"{os.getloadavg()[0]:.1f}",
        "python": f"{platform.python_version()} ({sys.executable})",
    }
    return facts | {kind.name: kind.version for kind in kinds if kind.version}


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> int:
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that the kernels end with us
    if options.against:
        rows = {key: ROWS[key] for key in options.rows}
        return against.compare(options.against, rows, options.rounds, options.json, options.strict)
    with temporary_home() as home:
        kinds = participants(options.kernels, options.prefix, home)
        facts = describe(kinds)
        warm_up(kinds, home)
        interrupts = options.interrupts or (500 if options.quick else 4000)
        idle = options.idle or (10.0 if options.quick else 60.0)
        cold_too = COLD in options.kernels
        results: list[Result] = []
        with Bench(kinds, home, options.quick, interrupts, idle, cold_too, options.without) as bench:
            for key in options.rows:
                begun = time.monotonic()
                results += ROWS[key](bench)
                say(f"{key}: {results[-1].as_words()[-1]} ({time.monotonic() - begun:.0f} s)")
    if float(facts["load"]) > 1:
        facts["beware"] = "other programs were running: times below are those of a busy machine"
    for name, fact in facts.items():
        print(f"{name}: {fact}")
    print(as_markdown(results))
    verdicts = [verdict for result in results if (verdict := result.as_words()[-1]) != "-"]
    print(f"{verdicts.count('met')} of {len(verdicts)} targets met")
    if options.json:
        rows = [result.as_json() for result in results]
        options.json.write_text(json.dumps({"facts": facts, "rows": rows}, indent=1, ensure_ascii=False) + "\n")
    if options.plot:
        plot.draw(results, facts, options.plot)
    missed = any(verdict.startswith("missed") for verdict in verdicts)
    unmeasured = all(verdict.startswith("not measured") for verdict in verdicts)
    return 1 if unmeasured or (options.strict and missed) else 0


if __name__ == "__main__":
    sys.exit(main())
