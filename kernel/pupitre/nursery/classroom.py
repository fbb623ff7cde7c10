# SPDX-License-Identifier: BSD-3-Clause
"""What a student does in a lesson, as steps: the same for every kernel whose memory is measured.

Used by `pupitre capacity` and by the benchmarks.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

CSV = "lesson.csv"  # in the kernel's working directory; write_csv makes it
CSV_ROWS = 30_000


class Step(NamedTuple):
    """One request: `code` is executed, or completed at its end. `fails`: the error that it is meant to end with."""

    code: str
    complete: bool = False
    fails: str = ""


IMPORTS = [Step("import numpy as np"), Step("import pandas as pd"), Step("import matplotlib.pyplot as plt")]
FRAME = "df = pd.DataFrame({'name': list('abcdefgh'), 'score': np.arange(8) * 1.5, 'group': list('xyxyxyxy')})"

TEN_CELLS = [
    Step("x = 41\nx + 1"),
    Step("for i in range(5):\n    print(i, i ** 2)"),
    Step("words = 'the quick brown fox jumps over the lazy dog'.split()\nsorted(words, key=len)"),
    Step("{word: len(word) for word in words}"),
    Step("def fib(n):\n    return n if n < 2 else fib(n - 1) + fib(n - 2)\n[fib(n) for n in range(15)]"),
    Step("class Point:\n    def __init__(self, x, y):\n        self.x, self.y = x, y\np = Point(1, 2)\np.x + p.y"),
    Step("total = 0\nwhile total < 1000:\n    total += x\nprint(f'{total=}')"),
    Step("a = np.arange(12.0).reshape(3, 4)\na.mean(axis=0)"),
    Step("import math, random\nround(math.sqrt(sum(random.random() for _ in range(1000))), 3)"),
    Step("print('\\n'.join('*' * n for n in range(1, 6)))"),
]
TRACEBACK = [
    Step(
        "def inner(n):\n    return 10 / n\ndef outer(n):\n    return inner(n - 1)\nouter(1)", fails="ZeroDivisionError"
    )
]
COMPLETION = [Step(FRAME), Step("df.gro", complete=True)]
FRAME_HTML = [Step(f"{FRAME}\ndf")]
PLOT = [Step("plt.plot(np.arange(20) ** 2, label='squares'); plt.title('A plot'); plt.legend(); plt.show()")]
READ_CSV = [Step(f"data = pd.read_csv({CSV!r})\ndata.groupby('group')['score'].mean()")]

# What is added to a kernel that has just become ready, one thing each; each in a fresh kernel.
STATES: dict[str, list[Step]] = {
    "ready": [],
    "10 cells": [*IMPORTS, *TEN_CELLS],
    "traceback": [*IMPORTS, *TRACEBACK],
    "completion": [*IMPORTS, *COMPLETION],
    "DataFrame": [*IMPORTS, *FRAME_HTML],
    "plot": [*IMPORTS, *PLOT],
    "csv": [*IMPORTS, *READ_CSV],
    "full session": [*IMPORTS, *TEN_CELLS, *TRACEBACK, *FRAME_HTML, *COMPLETION, *PLOT, *READ_CSV],
}

# The full session by stages, one after the other in the same kernel.
STAGES: dict[str, list[Step]] = {
    "ready": [],
    "10 cells": [*IMPORTS, *TEN_CELLS],
    "traceback": TRACEBACK,
    "DataFrame": FRAME_HTML,
    "completion": COMPLETION,
    "plot": PLOT,
    "csv": READ_CSV,
}


def write_csv(folder: Path) -> None:
    """Make the file that READ_CSV reads: about a megabyte."""
    lines = ["id,name,group,score,remark"]
    lines += [f"{n},student {n},{'abcdefgh'[n % 8]},{n * 37 % 1000 / 10},nothing of note" for n in range(CSV_ROWS)]
    (folder / CSV).write_text("\n".join(lines) + "\n")


def steps_of(notebook: Path) -> list[Step]:
    """The code cells of a notebook. OSError or ValueError, with a text for people, where it cannot be read as one."""
    try:
        cells = json.loads(notebook.read_text("utf-8"))["cells"]
        code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"{notebook} is not a notebook of format 4") from None
    return [Step(source) for source in code if source.strip()]
