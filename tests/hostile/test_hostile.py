# SPDX-License-Identifier: BSD-3-Clause
"""Hostile cells: after each, the kernel is usable or has reported why not.

A file in cells/ is one cell. Its first line says what it does and which verdict is right: usable, reported, either of
these, answered (what hostile_kernel.py calls so, or better), or ended. Lines after it may give `deadline: SECONDS` for
each answer, `interrupt: SECONDS` after which Stop is pressed (and then every second), `interrupt-next: SECONDS` for the
cell after it, and `names: REGEX` that the report must match.
"""

from __future__ import annotations

import builtins
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from hostile_kernel import HostileKernel, judge

CELLS = sorted((Path(__file__).parent / "cells").glob("*.py"))
SPARED = {"__build_class__", "__debug__", "__doc__", "__loader__", "__name__", "__package__", "__spec__"}
NAMES = sorted(name for name in set(vars(builtins)) - SPARED if name not in ("True", "False", "None", "_"))
GROUP = 4  # builtins broken in one cell: a fresh kernel for each would take most of the time


ALLOWED = {
    "usable": ("usable",),
    "reported": ("reported",),
    "either": ("usable", "reported"),
    "answered": ("usable", "reported", "answered"),
    "ended": ("ended",),
}


@dataclass(frozen=True)
class Cell:
    code: str
    expected: str
    deadline: float
    interrupt: float
    interrupt_next: float
    names: str


def read_cell(path: Path) -> Cell:
    code = path.read_text(encoding="utf-8")
    head = [line[1:].strip() for line in code.splitlines() if line.startswith("#")]
    expected = head[0].rpartition(": ")[2]
    if expected not in ALLOWED:
        raise ValueError(f"{path.name}: the first line must end with a verdict, not {expected!r}")
    options = dict(line.split(": ", 1) for line in head[1:] if re.match(r"[a-z-]+: ", line))
    deadline, interrupt = float(options.get("deadline", 10)), float(options.get("interrupt", 0))
    return Cell(code, expected, deadline, interrupt, float(options.get("interrupt-next", 0)), options.get("names", ""))


def check(folder: Path, cell: Cell) -> None:
    with HostileKernel(folder) as kernel:
        kernel.wait_until_ready()
        verdict, said = judge(kernel, cell.code, cell.deadline, cell.interrupt, cell.interrupt_next)
        if cell.expected == "ended" and kernel.ended() and kernel.process.returncode == 0:
            verdict = "ended"  # even when the next cell was quicker than the end
    assert verdict in ALLOWED[cell.expected], f"{verdict}: {said}"
    assert verdict != "reported" or re.search(cell.names, said), f"the report does not name {cell.names}: {said}"


@pytest.mark.parametrize("path", CELLS, ids=lambda path: path.stem)
def test_cell(path: Path, tmp_path: Path) -> None:
    check(tmp_path, read_cell(path))


def groups() -> list[list[str]]:
    return [NAMES[at : at + GROUP] for at in range(0, len(NAMES), GROUP)]


BREAK = """
import builtins
def no(*args, **kwargs):
    raise RuntimeError("not today")
vars(builtins).update({name: VALUE for name in NAMES})
"""


@pytest.mark.parametrize("value", ["None", "no"], ids=["none", "raiser"])
@pytest.mark.parametrize("names", groups(), ids=lambda names: names[0])
def test_builtins(names: list[str], value: str, tmp_path: Path) -> None:
    code = BREAK.replace("NAMES", repr(names)).replace("VALUE", value)
    check(tmp_path, Cell(code, "either", 10, 0, 0, ""))


GENERATED = {
    "nul": "x = 1\0\nprint(x)",
    "surrogate": "x = '\ud800'\nprint(ascii(x))",
    "megabytes": "x = [\n" + "1234567,\n" * 100_000 + "]",
    "parentheses": "(" * 5_000 + ")" * 5_000,
    "parentheses_deep": "(" * 200_000,
    "unary_minus": "-" * 100_000 + "1",
    "attribute_chain": "x" + ".x" * 50_000,
    "elif_chain": "if 0: pass\n" + "elif 0: pass\n" * 5_000,
    "indentation": "\n".join(" " * i + "if 1:" for i in range(150)),
    "f_string": "f'" + "{" * 500 + "}" * 500 + "'",
    "long_line": "x = '" + "y" * 10_000_000 + "'",
    "bom_and_controls": "\ufeff\x0c\x1b\x07x = 1\r\ry = 2\u2028z = 3",
    "magic_garbage": "%%\0nothing\n%%%%\n!!\n??\n%%bash\nexit 300",
    "many_lines": "\n" * 100_000,
    "constants": "x = " + "9" * 100_000,
    "await_outside": "await 1\nawait None",
    "return_outside": "return 1",
    "yield_outside": "yield 1",
    "future_import": "x = 1\nfrom __future__ import nothing",
}


@pytest.mark.parametrize("name", GENERATED)
def test_odd_code(name: str, tmp_path: Path) -> None:
    """Source that no editor sends: the parser's own limits are answered with an error and nothing else happens."""
    check(tmp_path, Cell(GENERATED[name], "usable", 20, 0, 0, ""))


@pytest.mark.parametrize("limit", [3, 4, 5, 6, 7, 8, 12, 16, 24, 32, 48, 64])
def test_descriptor_limit(limit: int, tmp_path: Path) -> None:
    code = f"import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, ({limit}, {limit}))"
    check(tmp_path, Cell(code, "usable", 10, 0, 0, ""))


SIGNALS = [
    1,
    3,
    4,
    5,
    6,
    7,
    8,
    9,
    10,
    11,
    12,
    13,
    14,
    15,
    16,
    17,
    18,
    21,
    22,
    23,
    24,
    25,
    26,
    27,
    28,
    29,
    30,
    31,
    34,
    64,
]


@pytest.mark.parametrize("number", SIGNALS)
def test_signal_to_self(number: int, tmp_path: Path) -> None:
    """Every signal but INT, STOP and TSTP, which have cells of their own."""
    check(tmp_path, Cell(f"import os, time\nos.kill(os.getpid(), {number})\ntime.sleep(0.2)", "either", 10, 0, 0, ""))
