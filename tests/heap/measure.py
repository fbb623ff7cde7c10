# SPDX-License-Identifier: BSD-3-Clause
"""What each memory trick is worth: private MiB of a forked child by what it does, and how long a fork takes.

    measure.py DRIVER PYTHON [SET...]

DRIVER: heap-driver of a build for the Python version of PYTHON, whose packages are used (IPython, pandas, matplotlib).
A SET is trick names joined by `+`, or `none`; without any, SETS below. Each set has a template of its own: IPython's
InteractiveShell, rehearsed unless the set has `cold`. Each cell of the table is a fresh child that does only that. The
figures are Private_* of smaps_rollup while a sibling is alive, and, in brackets, ms of the work itself.
"""

import gc
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

SETS = [
    "cold+freeze",
    "none",
    "freeze",
    "freeze+malloc",
    "freeze+plug",
    "freeze+malloc+plug",
    "freeze+malloc+plug+memfd",
    "freeze+immortal",
    "freeze+malloc+plug+immortal",
    "freeze+malloc+plug+immortal+roots+memfd",
    "malloc+plug+immortal",
]
STATES = ["bare", "cells", "traceback", "html", "complete", "plot", "csv", "full", "full+gc", "full+trim"]
RESTED = 8  # of them, the first ones, are measured once more after a rest
FORKS = 40
THREADS = ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "BLIS", "VECLIB")


class Session:
    """What a student does, without a front."""

    def __init__(self) -> None:
        import matplotlib
        import numpy
        import pandas
        from IPython.core.interactiveshell import InteractiveShell
        from traitlets.config import Config

        matplotlib.use("agg")
        config = Config()
        config.HistoryManager.enabled = False
        self.shell = InteractiveShell.instance(config=config)
        self.shell.colors = "Linux"
        self.shell.push({"np": numpy, "pd": pandas})
        self.csv = "\n".join(["a,b,c,d", *(f"{i},{i * 0.5},name{i % 97},{i % 7}" for i in range(40_000))])

    def run(self, code: str) -> Any:
        real, sys.stdout = sys.stdout, io.StringIO()
        try:
            return self.shell.run_cell(code, store_history=True).result
        finally:
            sys.stdout = real

    def bare(self) -> None:
        pass

    def cells(self) -> None:
        for i in range(10):
            self.run(f"x{i} = [n * {i} for n in range(100)]\nprint(sum(x{i}))\nx{i}[-1]")

    def traceback(self) -> None:
        self.run("def f(n):\n    return 1 / n\nf(0)")
        self.run("pd.DataFrame({'a': [1]})['missing']")

    def html(self) -> None:
        self.run("df = pd.DataFrame({'a': range(50), 'b': np.linspace(0, 1, 50), 'c': list('abcde') * 10})\ndf")
        self.shell.display_formatter.format(self.shell.user_ns["df"])

    def complete(self) -> None:
        from IPython.core.completer import provisionalcompleter

        self.run("df = pd.DataFrame({'a': [1, 2]})")
        with provisionalcompleter():
            found = [one.text for one in self.shell.Completer.completions("df.gro", 6)]
        assert "groupby" in " ".join(found), found

    def plot(self) -> None:
        self.run("import matplotlib.pyplot as plt\nfig, ax = plt.subplots()\nax.plot([1, 3, 2])\nax.set_title('t')")
        picture = io.BytesIO()
        self.shell.user_ns["fig"].savefig(picture, format="png")
        self.run("plt.close('all')")

    def read(self) -> None:
        self.shell.push({"text": self.csv, "io": io})
        self.run("big = pd.read_csv(io.StringIO(text))\nbig.groupby('c')['b'].mean().head()")

    def full(self) -> None:
        for step in (self.cells, self.traceback, self.html, self.complete, self.plot, self.read):
            step()

    def inspect(self) -> None:
        self.shell.object_inspect_mime("pd.DataFrame")

    def rehearse(self) -> None:
        from IPython.core.completer import provisionalcompleter

        self.full()
        self.inspect()
        self.plot()
        with provisionalcompleter():
            for code in ("[].ap", "np.lins", "import col"):
                list(self.shell.Completer.completions(code, len(code)))
        self.run("df.groupby('a').sum().describe()")
        self.run("import warnings, json, math, random, collections, re, os")
        self.shell.reset(new_session=True)
        import numpy
        import pandas

        self.shell.push({"np": numpy, "pd": pandas})
        for name in ("last_type", "last_value", "last_traceback", "last_exc"):
            sys.__dict__.pop(name, None)
        self.shell.InteractiveTB.tb = self.shell.SyntaxTB.tb = None


def settle(tricks: set[str]) -> dict[str, Any]:
    """Apply the tricks in their order. What each said."""
    import _nursery

    said: dict[str, Any] = {}
    gc.collect()
    if "immortal" in tricks:
        roots: list[object] = []
        if "roots" in tricks:
            import numpy

            roots = [numpy.dtype(code) for code in numpy.typecodes["All"]]
        said["immortal"] = _nursery.immortalise(roots=roots)
    if "freeze" in tricks:
        gc.freeze()
    if "plug" in tricks:
        said["plug"] = _nursery.plug_holes()
    if "memfd" in tricks:
        said["memfd"] = _nursery.remap_heap()
    return said


def rest() -> Any:
    """As template.rest. What it gave back."""
    import _nursery

    gc.collect()
    _nursery.trim()
    return _nursery.reshare()


def in_child(work: Callable[[], None], keep_alive: bool = False) -> tuple[Any, int, int]:
    """Fork, do the work, and tell what it cost: (answer, pid, descriptor that ends a child kept alive)."""
    import _nursery

    answers, answer = os.pipe()
    hold, release = os.pipe()
    begin = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        os.close(release)
        gc.enable()
        started = time.perf_counter()
        work()
        spent = time.perf_counter() - started
        private = _nursery.memory_of(os.getpid())["private"]
        started = time.perf_counter()
        rest()
        rested = time.perf_counter() - started
        rested_private = _nursery.memory_of(os.getpid())["private"]
        os.write(answer, json.dumps([private, spent * 1e3, rested_private, rested * 1e3]).encode())
        if keep_alive:
            os.read(hold, 1)
        os._exit(0)
    took = (time.perf_counter() - begin) * 1e3
    os.close(answer)
    os.close(hold)
    said = os.read(answers, 4096)
    os.close(answers)
    if not keep_alive:
        os.close(release)
        os.waitpid(pid, 0)
    if not said:
        raise RuntimeError("a child died")
    return [took, *json.loads(said)], pid, release


def states(session: Session) -> dict[str, Callable[[], None]]:
    import _nursery

    def collect() -> None:
        session.full()
        gc.collect()

    def trim() -> None:
        session.full()
        _nursery.trim()

    named = {"csv": session.read, "full+gc": collect, "full+trim": trim}
    return {state: named.get(state) or getattr(session, state) for state in STATES}


def template(tricks: set[str]) -> dict[str, Any]:
    """Be the template of one set. Its row of the table."""
    import _nursery

    gc.disable()
    _nursery.thp_off()
    session = Session()
    if "cold" not in tricks:
        session.rehearse()
    work = states(session)
    said = settle(tricks)
    memory = _nursery.memory_of(os.getpid())
    _, sibling, release = in_child(session.bare, keep_alive=True)
    row: dict[str, Any] = {"rss": memory["rss"], "said": said}
    for state, function in work.items():
        (_, *row[state]), _, _ = in_child(function)
    row["fork"] = median(in_child(session.bare)[0][0] for _ in range(FORKS))
    os.close(release)
    os.waitpid(sibling, 0)
    return row


def measure(driver: str, python: str, name: str) -> dict[str, Any]:
    environment = {
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "HOME": os.environ.get("MEASURE_HOME", "/tmp"),
        "PUPITRE_PYTHON": python,
        "IPYTHONDIR": "/tmp/measure-ipython",
        "MPLCONFIGDIR": "/tmp/measure-mpl",
    } | {f"{library}_NUM_THREADS": "1" for library in THREADS}
    options = ["-m"] if "malloc" in name else []
    command = [driver, *options, str(Path(__file__)), "--template", name]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, timeout=300, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    if sys.argv[1] == "--template":
        print(json.dumps(template(set(sys.argv[2].split("+")))), flush=True)
        os._exit(0)
    driver, python, *sets = sys.argv[1:]
    print(f"{'tricks':42} {'tmpl':>6}" + "".join(f"{state:>15}" for state in STATES) + "   fork")
    for name in sets or SETS:
        row = measure(driver, python, name)
        cells = "".join(f"{row[state][0] / 1024:8.2f} ({row[state][1]:4.0f})" for state in STATES)
        print(f"{name:42} {row['rss'] / 1024:6.1f}{cells} {row['fork']:6.2f}", flush=True)
        if "memfd" in name:
            cells = "".join(f"{row[state][2] / 1024:8.2f} ({row[state][3]:4.1f})" for state in STATES[:RESTED])
            print(f"{'  after a rest (ms of the rest)':42} {'':6}{cells}", flush=True)
        print(f"    {row['said']}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
