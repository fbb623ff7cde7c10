# SPDX-License-Identifier: BSD-3-Clause
"""What packages and the rehearsal leave open or want done at the end is the template's: no worker spoils it for others,
and what a worker does with it never reaches a file of its user's.
"""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from launch import Kernel
from nursery import AS_ROOT, Begin, Nursery, Start, python_of
from raw import Client, block

SECONDS = 5.0
PACKAGE = block("""
    import atexit, os, shutil, socket, tempfile, weakref
    place = os.path.dirname(__file__)
    def note(word):
        with open(os.path.join(place, 'notes'), 'a') as file:
            file.write(f'{os.getpid()} {word}\\n')
    class Thing:
        def close(self): note('method')
    thing, temporary = Thing(), tempfile.TemporaryDirectory()
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder)
    atexit.register(note, 'argument')
    atexit.register(thing.close)
    atexit.register(lambda: note('lambda'))
    @atexit.register
    def close_down(): note('function')
    atexit.register(note, 'unregistered'); atexit.unregister(note); atexit.register(note, 'argument')
    weakref.finalize(thing, note, 'finalizer')
    log = open(os.path.join(place, 'log'), 'w')
    log.write('of the template')
    table = open(os.path.join(place, 'table'))
    first = table.read(6)
    left, right = socket.socketpair()
""")
# Whose numbers are whose: the package uses what it has, as if this were its own process.
USE = block("""
    import os, leaver
    mine = [open(f'mine{n}', 'w+b', 0) for n in range(12)]
    rest = leaver.table.read()
    leaver.log.write('of a worker'); leaver.log.flush()
    try: leaver.left.send(b'of a worker')
    except OSError: pass
    leaver.left.close(); leaver.log.close(); leaver.table.close()
    for file in mine: file.write(b'mine')
""")
REHEARSAL = "import atexit, leaver\n@atexit.register\ndef at_end(note=leaver.note): note('rehearsal')"


@pytest.fixture
def packages(environment: Path) -> Path:
    """The site-packages of a virtual environment that has `leaver`."""
    (environment / "leaver.py").write_text(PACKAGE)
    (environment / "table").write_text("first second")
    (environment / "notes").touch(0o666)
    (environment / "notes").chmod(0o666)
    return environment


def begin_leaver(begin: Begin, packages: Path, system: bool) -> Nursery:
    notebook = packages.parents[3] / "rehearsal.ipynb"
    notebook.write_text(json.dumps({"cells": [{"cell_type": "code", "source": REHEARSAL}], "nbformat": 4}))
    words = ("--python", python_of(packages), "--import", "leaver", "--rehearsal", str(notebook))
    return begin(*words, system=system)


def shut_down(kernel: Kernel, client: Client) -> None:
    client.recv_reply(client.send("shutdown_request", {"restart": False}, channel="control"))
    assert kernel.wait_exit() == 0


@pytest.mark.parametrize("system", [False, True] if AS_ROOT else [False], ids=["user", "system"])
@pytest.mark.long
def test_belongings(begin: Begin, start: Start, packages: Path, system: bool) -> None:
    nursery = begin_leaver(begin, packages, system)
    template = nursery.template()
    environment = {"PUPITRE_PYTHON": python_of(packages)}
    kernels = [start(nursery, env=environment) for _ in range(2)]
    for kernel in kernels:
        client = kernel.client()
        client.ok(USE)
        client.ok("import atexit; atexit.register(leaver.note, 'user')")
        assert client.evaluate("[leaver.first, rest]") == ["first ", "second"]
        folders = [Path(place) for place in client.evaluate("[leaver.folder, leaver.temporary.name]")]
        shut_down(kernel, client)
        assert [file.read_bytes() for file in kernel.directory.glob("mine*")] == [b"mine"] * 12
        assert all(folder.is_dir() for folder in folders)
    notes = (packages / "notes").read_text().split()
    assert notes[1::2] == ["user", "function"] * 2 and str(template.pid) not in notes
    assert (packages / "log").read_text() == "of the template"
    nursery.signal(signal.SIGTERM)
    assert template.gone(SECONDS)
    notes = (packages / "notes").read_text().split()
    assert [word for pid, word in zip(notes[::2], notes[1::2], strict=True) if pid == str(template.pid)] == [
        "finalizer", "rehearsal", "argument", "lambda", "method",
    ]  # fmt: skip
    assert not any(folder.exists() for folder in folders)
