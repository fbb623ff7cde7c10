# SPDX-License-Identifier: BSD-3-Clause
"""Another commit beside this tree: both built and installed alike, measured in turns, told apart by the spread.

Each side has a virtual environment of its own with nothing but Pupitre and what it needs: the size of site-packages is
part of what a Python weighs. Their paths are equally long, because every code object carries one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from .peers import Kind, find_kind, temporary_home
from .table import OURS, Bench, Result, as_aligned

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build" / "against"
ROWS = ("memory", "front", "start", "pass", "prints", "displays", "control", "restart", "first")
THIS = "working-tree"  # as long as the name of a commit
NAME_LENGTH = len(THIS)
MEMORY_PART, MEMORY_MB = 0.03, 64 / 1024  # what a memory row may grow by: the larger of the two
TELLING_PART = 0.9  # worse in so many of the turns is no chance: 1 in 100 for nine of ten

Row = Callable[[Bench], list[Result]]


class CannotBuild(Exception):
    """A commit that git does not know, or a side that does not install; the text is for the user."""


@dataclass
class Pair:
    """One row of both sides: a figure a turn, in the order of the turns; None where there was none."""

    result: Result
    then: list[float | None] = field(default_factory=list)
    now: list[float | None] = field(default_factory=list)
    unit: str = ""

    @property
    def turns(self) -> list[tuple[float, float]]:
        """The turns in which both sides have a figure."""
        return [(a, b) for a, b in zip(self.then, self.now, strict=True) if a is not None and b is not None]

    def worse(self) -> list[bool]:
        more_is_worse = self.result.goal.kind != "at least"
        return [now > then if more_is_worse else now < then for then, now in self.turns]

    def verdict(self) -> tuple[str, bool]:
        """In words, and whether it wants an explanation."""
        if len(self.turns) < len(self.then):
            return f"not measured in {len(self.then) - len(self.turns)} turns", True
        then, now = median(a for a, _ in self.turns), median(b for _, b in self.turns)
        if self.unit == "MB":
            allowed = max(MEMORY_PART * then, MEMORY_MB)
            grown = now - then
            words = f"{grown * 1024:+,.0f} KB, allowed {allowed * 1024:,.0f} KB"
            return (f"BIGGER: {words}", True) if grown > allowed else (f"within: {words}", False)
        sign = -1 if self.result.goal.kind == "at least" else 1
        beyond = sign * now > max(sign * a for a, _ in self.turns)
        worse = sum(self.worse())
        words = f"{(now - then) / then * 100:+.1f} %, worse in {worse} of {len(self.turns)}" if then else "-"
        told = beyond or (now != then and worse >= TELLING_PART * len(self.turns))
        why = "beyond the spread, " if beyond else ""
        return (f"SLOWER: {why}{words}", True) if told else (words, False)

    def as_words(self) -> list[str]:
        columns = [_spread(values, self.unit) for values in (self.then, self.now)]
        return [self.result.key, self.result.what, *columns, self.verdict()[0]]

    def as_json(self) -> dict[str, object]:
        row = {"row": self.result.key, "what": self.result.what, "unit": self.unit}
        return row | {"then": self.then, "now": self.now, "verdict": self.verdict()[0]}


def _spread(values: list[float | None], unit: str) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    return f"{median(known):.4g} {unit} ({min(known):.4g} to {max(known):.4g})"


def compare(commit: str, rows: dict[str, Row], rounds: int, report: Path | None, strict: bool) -> int:
    """Build, measure, print. Exit status 0, or 1 when a side cannot be built or, with `strict`, a row got worse."""
    try:
        name = _git("rev-parse", "--verify", f"{commit}^{{commit}}").strip().decode()
        kinds = [install(_tree_of(name), name[:NAME_LENGTH]), install(ROOT, THIS)]
    except CannotBuild as why:
        print(f"bench: {why}", file=sys.stderr)
        return 1
    pairs = measure(kinds, rows, rounds)
    title = _git("log", "-1", "--format=%h %s", name).decode().strip()
    print(f"then: {title}\nnow: {THIS}, {_git('describe', '--always', '--dirty').decode().strip()}\nturns: {rounds}")
    print(as_aligned([["row", "what", "then", "now", "verdict"], *(pair.as_words() for pair in pairs)]))
    named = [pair.result.key for pair in pairs if pair.verdict()[1]]
    print(f"to explain: {', '.join(named)}" if named else "nothing to explain")
    if report:
        found = {"then": title, "rows": [pair.as_json() for pair in pairs]}
        report.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    return 1 if strict and named else 0


def measure(kinds: list[Kind], rows: dict[str, Row], rounds: int) -> list[Pair]:
    """Row by row, one side right after the other, so that what else the machine does meets both."""
    pairs: dict[tuple[str, str], Pair] = {}
    with ExitStack() as stack:
        benches = []
        for kind in kinds:
            home = stack.enter_context(temporary_home())
            benches.append(stack.enter_context(Bench([kind], home, True, 500, 10.0, cold_too=False)))
        for bench in benches:
            for row in rows.values():
                row(bench)  # unmeasured: files are in the page cache, the profile and the nursery are made
        for turn in range(rounds):
            begun = time.monotonic()
            for row in rows.values():
                for side in (0, 1) if turn % 2 == 0 else (1, 0):
                    _take(pairs, row(benches[side]), now=side == 1)
            print(f"turn {turn + 1} of {rounds} ({time.monotonic() - begun:.0f} s)", file=sys.stderr, flush=True)
    return list(pairs.values())


def _take(pairs: dict[tuple[str, str], Pair], results: Iterable[Result], now: bool) -> None:
    for result in results:
        pair = pairs.setdefault((result.key, result.what), Pair(result))
        figure = result.figures.get(OURS)
        (pair.now if now else pair.then).append(figure.value if figure else None)
        pair.unit = (figure.unit if figure else "") or pair.unit


def install(tree: Path, name: str) -> Kind:
    """Pupitre from `tree` in a virtual environment of its own, made at the first call and brought up to date later."""
    folder = BUILD / name
    python, log = folder / "venv" / "bin" / "python", folder / "install.log"
    folder.mkdir(parents=True, exist_ok=True)
    done = folder / "installed"
    if tree == ROOT or not done.exists():
        print(f"installing {name}", file=sys.stderr, flush=True)
        words = ["install", "--config-settings", f"build-dir={folder / 'build'}"]
        words += ["-c", str(tree / "requirements" / "constraints.txt"), str(tree)]
        with log.open("wb") as output:
            for command in ([sys.executable, "-m", "venv", str(folder / "venv")], [str(python), "-m", "pip", *words]):
                ended = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, check=False, env=_plain())
                if ended.returncode != 0:
                    raise CannotBuild(f"{name} does not install: {log.relative_to(ROOT)} says why")
        done.touch()
    kind = find_kind(OURS, [folder / "venv"])
    if kind is None or not kind.argv[0].startswith(str(folder)):
        raise CannotBuild(f"{name} has no kernelspec")
    return kind


def _plain() -> dict[str, str]:
    """The caller's environment without what a virtual environment puts there."""
    return {key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "PYTHONPATH")}


def _tree_of(name: str) -> Path:
    """The files of a commit, without touching the index, the branches or the list of worktrees."""
    folder = BUILD / name[:NAME_LENGTH] / "tree"
    if not folder.exists():
        half = folder.with_name("tree.half")
        shutil.rmtree(half, ignore_errors=True)
        half.mkdir(parents=True)
        subprocess.run(["tar", "-x", "-C", str(half)], input=_git("archive", "--format=tar", name), check=True)
        half.rename(folder)
    return folder


def _git(*words: str) -> bytes:
    done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, check=False)
    if done.returncode != 0:
        raise CannotBuild(f"git {words[0]}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout
