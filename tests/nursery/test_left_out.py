# SPDX-License-Identifier: BSD-3-Clause
"""A module with which no process can be forked is left out by name, and the nursery is ready with the rest; a cell of
the rehearsal with which none can costs that cell.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from nursery import Begin, Start, pupitre, python_of
from pupitre.nursery import status
from pupitre.nursery.messages import TemplateState
from raw import block

MODULES = {
    "of_python": """
        import threading
        threading.Thread(target=threading.Event().wait, name='ticker', daemon=True).start()
    """,
    "of_a_library": """
        import ctypes, threading
        def hum():
            ctypes.CDLL(None).prctl(15, b'humming')
            begun.set()
            threading.Event().wait()
        begun = threading.Event()
        import _thread
        _thread.start_new_thread(hum, ())
        begun.wait()
    """,
    "of_a_device": """
        import os
        terminal = os.open('/dev/ptmx', os.O_RDWR | os.O_NOCTTY)
    """,
    "of_much_memory": """
        import mmap
        memory = mmap.mmap(-1, 100 << 20)
    """,
    "of_no_return": """
        import os, sys
        if os.getpid() != os.getpgid(0): os._exit(3)
    """,
    "of_a_thread_that_ends": """
        import threading
        thread = threading.Thread(target=lambda: None); thread.start(); thread.join()
    """,
}
REASONS = {
    "of_python": "thread 'ticker' of of_python (no setting is known that prevents it)",
    "of_a_library": "thread humming of a library (no setting is known that prevents it)",
    "of_a_device": "open device /dev/ptmx (no setting is known that prevents it)",
    "of_much_memory": "100 MB of shared memory (no setting is known that prevents it)",
    "of_no_return": "a forked child ended with status 768: no answer (no setting is known that prevents it)",
}
CELLS = [
    "import colorsys; first = 1",
    "import threading; threading.Thread(target=threading.Event().wait, name='of a cell', daemon=True).start()",
    "import chunk_of_ours; second = first + 1",
]


def write_notebook(path: Path, cells: list[str]) -> str:
    made = [{"cell_type": "code", "source": cell, "metadata": {}, "outputs": []} for cell in cells]
    path.write_text(json.dumps({"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    return str(path)


@pytest.mark.timeout(120)
def test_left_out_by_name(begin: Begin, start: Start, environment: Path) -> None:
    for name, code in MODULES.items():
        (environment / f"{name}.py").write_text(block(code))
    names = f"json,{','.join(MODULES)},bisect"
    nursery = begin("--python", python_of(environment), "--import", names, "--without", "rehearse")
    (template,) = [t for t in nursery.status().templates if t.state == TemplateState.READY]
    nursery.log.seek(0)
    log = nursery.log.read().decode()
    for name, reason in REASONS.items():
        assert f"{name} is left out: {reason}" in log
    told = status.left_out(template.text)
    assert told and all(name in REASONS for name in (text.partition(":")[0] for text in told))
    words = [pupitre(), "nursery", "status", "--socket", str(nursery.socket)]
    shown = subprocess.run(words, capture_output=True, text=True, check=True, timeout=30).stdout
    assert f"left out: of_python: {REASONS['of_python']}" in shown
    client = start(nursery, env={"PUPITRE_PYTHON": python_of(environment)}).client()
    here = client.evaluate("sorted(name for name in __import__('sys').modules if name[:3] == 'of_')")
    assert here == ["of_a_thread_that_ends"]
    client.ok("import of_python, threading; assert threading.active_count() == 2")


def test_left_out_is_told_by_doctor(begin: Begin, environment: Path) -> None:
    (environment / "of_python.py").write_text(block(MODULES["of_python"]))
    nursery = begin("--python", python_of(environment), "--import", "of_python", "--without", "rehearse")
    told = os.environ | {"PUPITRE_NURSERY": str(nursery.socket), "PUPITRE_PYTHON": python_of(environment)}
    done = subprocess.run([pupitre(), "doctor"], capture_output=True, text=True, timeout=60, env=told)
    assert f"it leaves out of_python: {REASONS['of_python']}" in done.stdout


@pytest.mark.long
def test_left_out_cell(begin: Begin, start: Start, environment: Path, directory: Path) -> None:
    """The cells before and after it are rehearsed."""
    (environment / "chunk_of_ours.py").write_text("")
    notebook = write_notebook(directory / "course.ipynb", CELLS)
    nursery = begin("--python", python_of(environment), "--import", "json", "--rehearsal", notebook)
    nursery.log.seek(0)
    assert f"{notebook}: cell 2 is not rehearsed: thread 'of a cell' of __main__" in nursery.log.read().decode()
    client = start(nursery, env={"PUPITRE_PYTHON": python_of(environment)}).client()
    assert client.evaluate("[n in __import__('sys').modules for n in ('colorsys', 'chunk_of_ours')]") == [True, True]
