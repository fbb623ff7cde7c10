# SPDX-License-Identifier: BSD-3-Clause
"""Notebooks that end badly. Each is a cell that leaves a mark, the cells of the case, then a mark, a cell that fails,
and a mark: whoever calls such a notebook a success has not run it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

CELL_SECONDS = 3  # how long a cell may take, where the case is about that
START_SECONDS = 4
FAILS = "assert False, 'every notebook fails here'"
SEGFAULT = "import ctypes\nctypes.string_at(0)"
KILL = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"
FOREVER = "import time\ntime.sleep(600)"
FOREVER_IN_C = "import ctypes\nctypes.PyDLL(None).pause()"
SLOW_END = "import atexit, time\natexit.register(time.sleep, 1)"


@dataclass(frozen=True)
class Case:
    """`cells` in the middle; `tag` on the last of them. `good`: nothing fails after them. `leaves`: the code ends the
    kernel by exit() or quit(), after which ipykernel goes on for a tenth of a second. `starts`: a startup file of
    IPython.
    """

    cells: tuple[str, ...] = ()
    tag: str = ""
    good: bool = False
    leaves: bool = False
    allow_errors: bool = False
    limited: bool = False
    start_limited: bool = False
    startup: str = ""
    fails: bool = True


CASES = {
    "good": Case(good=True, fails=False),
    "nothing but the failure": Case(),
    "raise": Case(("1/0",)),
    "raise in an await cell": Case(("import asyncio\nawait asyncio.sleep(0)\n1/0",)),
    "syntax error": Case(("x = = 2",)),
    "no such magic": Case(("%nosuchmagic",)),
    "input without a user": Case(("input()",)),
    "exit()": Case(("exit()",), leaves=True),
    "quit": Case(("quit",), leaves=True),
    "sys.exit()": Case(("import sys\nsys.exit()",)),
    "sys.exit(0) and raises-exception": Case(("import sys\nsys.exit(0)",), tag="raises-exception"),
    "os._exit(0)": Case(("import os\nos._exit(0)",)),
    "os._exit(0) and raises-exception": Case(("import os\nos._exit(0)",), tag="raises-exception"),
    "segmentation fault": Case((SEGFAULT,)),
    "kill -9": Case((KILL,)),
    "raise and raises-exception": Case(("1/0",), tag="raises-exception", good=True, fails=False),
    "raise and allow errors": Case(("1/0",), allow_errors=True, fails=False),
    "kill -9 and allow errors": Case((KILL,), allow_errors=True),
    "cell time-out": Case((FOREVER,), limited=True),
    "cell time-out in C": Case((FOREVER_IN_C,), limited=True),
    "start time-out": Case(startup=FOREVER, start_limited=True),
    "slow end": Case((SLOW_END,), good=True, fails=False),
}


def mark(place: Path, name: str) -> str:
    """A cell that says that it ran. It takes longer than ipykernel goes on after exit()."""
    return f"import time\nopen({str(place / 'ran')!r}, 'a').write({name + ' '!r})\ntime.sleep(0.4)"


def write(case: Case, kernel: str, place: Path) -> Path:
    """The notebook of a case, in a folder of its own."""
    cells = [new_code_cell(source) for source in (mark(place, "first"), *case.cells)]
    if case.tag:
        cells[-1].metadata["tags"] = [case.tag]
    cells.append(new_code_cell(mark(place, "second")))
    if not case.good:
        cells.append(new_code_cell(FAILS))
    cells.append(new_code_cell(mark(place, "third")))
    metadata = {"kernelspec": {"name": kernel, "display_name": kernel, "language": "python"}}
    if case.allow_errors:
        metadata["execution"] = {"allow_errors": True}  # read by nbmake
    path = place / "page.ipynb"
    nbformat.write(new_notebook(cells=cells, metadata=metadata), path)
    return path


def ran(place: Path) -> str:
    """The marks that were left."""
    path = place / "ran"
    return path.read_text() if path.exists() else ""
