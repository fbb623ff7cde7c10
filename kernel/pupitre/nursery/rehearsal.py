# SPDX-License-Identifier: BSD-3-Clause
"""Rehearses a session in the template, through the kernel's own handlers: what runs once there is warm in every worker.

Nobody sees what it prints or shows (`_pupitre` has no ends to send it to). Afterwards the shell is as new.
"""

import gc
import inspect
import json
import linecache
import os
import sys
from contextlib import suppress
from functools import partial
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

from pupitre import door, engine, parent
from pupitre.app import IPKernelApp
from pupitre.display import ZMQDisplayHook
from pupitre.history import HistoryManager
from pupitre.loop import Loop
from pupitre.parent import NOBODY

from . import asked, fresh, probe, trial
from .stage import tell

_CELLS = [
    "x = 1\nx + 1",
    "print('one', end=''); print([n * n for n in range(10)])",
    "def f(n):\n    'doc'\n    return n if n < 2 else f(n - 1) + f(n - 2)\nf(10)",
    "class A:\n    def __init__(self): self.b = {'c': (1, 2.5, 'd')}\nA().b",
    "1 / 0",
    "def g():\n    return h()\ndef h():\n    raise ValueError('rehearsal')\ng()",
    "no_such_name",
    "def (:",
    "import re, json, math, datetime, collections, itertools, functools, random, os, sys, pathlib, string, statistics",
    "datetime.datetime(2024, 1, 1); json.dumps({'a': [1, 2]}); re.sub('a+', 'b', 'caab')",
    "from IPython.display import display, HTML, Markdown\ndisplay(HTML('<b>x</b>'), Markdown('*y*'))",
    "%time sum(range(10))",
]
_PACKAGE_CELLS = {
    "numpy": [
        "import numpy as np\na = np.arange(12.).reshape(3, 4); a @ a.T",
        "a.mean(axis=0), np.linalg.inv(np.eye(3) * 2), np.random.default_rng(0).normal(size=3)",
    ],
    "pandas": [
        "import pandas as pd\ndf = pd.DataFrame({'a': range(8), 'b': list('abababab'), 'c': [.5] * 8}); df",
        "df.describe()",
        "df.groupby('b').agg({'a': 'sum', 'c': 'mean'})",
        "import io\npd.read_csv(io.StringIO(df.to_csv(index=False))).head(3)",
        "df['no such column']",
        "df.sort_values('a', ascending=False).merge(df, on='b').pivot_table(index='b', values='a_x')",
    ],
    "matplotlib.pyplot": [
        "import matplotlib.pyplot as plt\nplt.plot([1, 2, 3], label='x'); plt.title('t'); plt.legend(); plt.show()",
        "fig, ax = plt.subplots(1, 2)\nax[0].bar(['a', 'b'], [1, 2]); ax[1].scatter([1, 2], [3, 4]); plt.show()",
    ],
}
_ROUNDS = 12  # after which the interpreter has specialised the code and does not write into it any more
_LOOKS = [
    ("complete_request", "impo"),
    ("complete_request", "li = [1]\nli.app"),
    ("complete_request", "f"),
    ("inspect_request", "print"),
    ("is_complete_request", "for i in range(3):"),
]
_PACKAGE_LOOKS = {
    "numpy": [("complete_request", "np.ara"), ("inspect_request", "np.mean")],
    "pandas": [("complete_request", "df.gro"), ("complete_request", "df.groupby('b').me")],
    "matplotlib.pyplot": [("complete_request", "plt.pl")],
}


def run(app: IPKernelApp, notebook: str | None) -> None:
    """Run the cells and look-ups of what was imported, then the code cells of `notebook` (a path), then tidy up.

    RuntimeError if nothing works; cells of the notebook that fail, or are not run, are told on descriptor 2.
    """
    shell = app.shell
    before, hidden, flags = dict(shell.user_ns), dict(shell.user_ns_hidden), shell.compile.flags
    shell.kernel.loop = SimpleNamespace(call_as_task=lambda function, *args: function(*args), time=lambda: 0.0)
    with suppress(ImportError):
        from matplotlib_inline.config import InlineBackend

        InlineBackend.instance(parent=shell)
    cells: list[str] = []
    looks = list(_LOOKS)
    for package, more in _PACKAGE_CELLS.items():
        if package in sys.modules:
            cells += more
            looks += _PACKAGE_LOOKS[package]
    works = [_execute(app, cell)["status"] == "ok" for cell in _CELLS * _ROUNDS]
    if not works[0]:
        raise RuntimeError("the rehearsal failed at its first cell")
    for play in (partial(_rehearse, app), partial(_execute, app)):
        cells = [cell for cell in cells if play(cell)]
        for name, code in looks:
            request(app, name, {"code": code, "cursor_pos": len(code)})
    for number, cell in enumerate(_cells_of(notebook) if notebook else (), 1):
        answer = _rehearse(app, cell, f"{notebook}: cell {number}")
        if answer and answer["status"] != "ok":
            tell(f"{notebook}: cell {number}: {answer['ename']}: {answer['evalue']}")
    _write_history(app)
    _tidy(app, before)
    shell.user_ns_hidden.clear()
    shell.user_ns_hidden.update(hidden)
    shell.compile.flags = flags


def _rehearse(app: IPKernelApp, cell: str, name: str = "a cell of our own") -> dict[str, Any] | None:
    """Run a cell, unless it would leave what no process may be forked with: that costs the cell, not the nursery."""
    try:
        trouble = trial.attempt(partial(_execute, app, cell)).trouble
    except probe.Killed as error:  # a cell may take all memory there is, each time
        trouble = [str(error)]
    if trouble:
        tell(f"{name} is not rehearsed: {', '.join(trouble)}")
        return None
    return _execute(app, cell)


def _write_history(app: IPKernelApp) -> None:
    """Into a database of the template's own, by a manager that is thrown away."""
    for _ in range(_ROUNDS // 4):
        manager = HistoryManager(shell=app.shell, parent=app.shell)
        manager.store_inputs(1, "x = 1")
        manager.writeout_cache()
        manager.end_session()
        manager.close()


def be_born(app: IPKernelApp) -> None:
    """What a forked worker does before its first request, elsewhere and, last, in the template's own home."""
    own = dict(os.environb)
    with TemporaryDirectory(prefix="rehearsal-", dir=os.path.expanduser("~")) as folder:
        for number in range(_ROUNDS):
            home = os.path.join(folder, str(number % 2))
            os.makedirs(home, exist_ok=True)
            elsewhere = {name: value for name, value in own.items() if name != b"IPYTHONDIR"}
            _be_born_and_die(app, elsewhere | {b"HOME": os.fsencode(home)})
        _be_born_and_die(app, own)
    gc.disable()
    del app.kernel.loop


def _be_born_and_die(app: IPKernelApp, environment: dict[bytes, bytes]) -> None:
    loop = _be_born_once(app, environment)
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()


def _be_born_once(app: IPKernelApp, environment: dict[bytes, bytes]) -> Loop:
    fresh.awake(environment, sys.executable)
    loop = Loop()
    engine.move_in({}, loop)
    ZMQDisplayHook(app.shell)
    engine.protect()
    app.run_startup_code()
    door.set_handler(app.kernel.handle, app.kernel.fail)
    engine.greet(app)
    loop.call_ours_later(1.0, loop.stop)
    return loop


def begin(app: IPKernelApp) -> None:
    """In a child: birth and a first cell. What is written to meanwhile, every worker writes to."""
    _be_born_once(app, dict(asked.then))
    _execute(app, "1 + 1")


def _execute(app: IPKernelApp, code: str) -> dict[str, Any]:
    return request(app, "execute_request", {"code": code, "store_history": False, "stop_on_error": False})


def request(app: IPKernelApp, name: str, content: dict[str, Any]) -> dict[str, Any]:
    """Serve one request as the kernel serves it; the content of its reply."""
    answers: list[Any] = []

    def keep(frame_type: int, flags: int, serial: int, parts: Any) -> None:
        if frame_type == door.REPLY:
            answers.append(json.loads(bytes(parts[1])))

    header = {"msg_type": name, "msg_id": "rehearsal", "session": "", "username": "", "date": "", "version": "5.4"}
    parts = [json.dumps(part).encode() for part in (header, {}, {}, content)]
    send, door.send = door.send, keep
    try:
        app.kernel.handle(door.REQUEST, 0, 0, [name.encode(), *parts, b""])
    finally:
        door.send = send
    answer: dict[str, Any] = answers[0]
    return answer


def _cells_of(notebook: str) -> list[str]:
    with open(notebook, encoding="utf-8") as file:
        cells = json.load(file)["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def _tidy(app: IPKernelApp, before: dict[str, Any]) -> None:
    """The shell as it was made: an empty namespace, execution count 1, no figures, no file that stays open."""
    shell = app.shell
    # IPython makes this at first use, by what was imported until then.
    shell.display_formatter.formatters["text/plain"]._trait_values.pop("type_printers", None)
    backends = sys.modules.get("matplotlib.backends.registry")
    if backends is not None:
        backends.backend_registry.__init__()  # as when it was imported: %matplotlib --list shows what was used
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
        fonts = sys.modules["matplotlib.font_manager"]
        for name in ("_get_font", "get_font"):
            clear = getattr(getattr(fonts, name, None), "cache_clear", None)
            if clear is not None:
                clear()
    shell.history_manager.reset(new_session=False)
    shell.history_manager.output_hist_reprs.clear()
    shell.SyntaxTB.clear_err_state()
    shell.displayhook.flush()
    shell.execution_count = 1
    shell.kernel.newest_cell = None
    shell.user_ns.clear()
    shell.user_ns.update(before)
    shell.last_execution_result = None
    shell.last_shown = shell.format_failure = None
    shell.payload_manager.clear_payload()
    shell.compile._filename_map.clear()
    for name in [name for name, entry in linecache.cache.items() if len(entry) > 1 and entry[1] is None]:
        del linecache.cache[name]  # of cells
        inspect.modulesbyfile.pop(name, None)
    for name in ("last_type", "last_value", "last_traceback", "last_exc"):
        if hasattr(sys, name):
            delattr(sys, name)
    parent.make_newest(NOBODY)
    del shell.kernel.loop
    gc.collect()
