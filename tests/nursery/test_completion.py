# SPDX-License-Identifier: BSD-3-Clause
"""Completion in a child that is thrown away: users notice nothing of it but the memory that it saves."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from nursery import DEADLINE, Nursery, Start, born_in_nursery
from procs import children
from raw import Client, block

# Objects whose `__dir__` writes down who calls it.
WITNESS = block("""
    import os
    class Witness:
        def __dir__(self):
            with open('seen', 'a') as file:
                file.write(f'{os.getpid()}\\n')
            print('looked at')
            return ['attribute_one', 'attribute_two']
    witness = Witness()
""")

# What a user may have open, and whether a child may complete meanwhile.
OPEN = {
    "nothing": ("", True),
    "history": ("get_ipython().history_manager.writeout_cache(); assert get_ipython().history_manager.opened", True),
    "a plot": ("import matplotlib.pyplot as plt; plt.plot([1, 2]); plt.title('t'); plt.show()", True),
    "a file to read": ("f = open('/etc/passwd')", True),
    "a file to write": ("f = open('written', 'w'); f.write('x')", False),
    "a database": ("import sqlite3; d = sqlite3.connect('base'); d.execute('create table t (a)')", False),
    "a connection": ("import socket; s = socket.socketpair()", False),
    "a thread": ("import threading as t; e = t.Event(); t.Thread(target=e.wait, daemon=True).start()", False),
    "a lock held by a thread": (
        "import threading; e = threading.Event(); lock = threading.Lock()\n"
        "def hold():\n  with lock: e.wait()\n"
        "threading.Thread(target=hold, daemon=True).start()", False,
    ),
    "a handler of SIGCHLD": ("import signal; signal.signal(signal.SIGCHLD, print)", False),
}  # fmt: skip


@pytest.fixture(scope="module")
def completing() -> Iterator[Nursery]:
    """One for all tests, which are patient."""
    directory = Path(tempfile.mkdtemp(prefix="pn-"))
    nursery = Nursery(directory / "n", "--burst", "100", "--import", "matplotlib.pyplot")
    yield nursery
    nursery.close()
    shutil.rmtree(directory, ignore_errors=True)


def complete(client: Client, code: str = "witness.attr") -> list[str]:
    content = client.request("complete_request", {"code": code, "cursor_pos": len(code)}).content
    assert content["status"] == "ok"
    return list(content["matches"])


@pytest.mark.parametrize("name", OPEN)
def test_completion_where(completing: Nursery, start: Start, name: str) -> None:
    code, in_a_child = OPEN[name]
    kernel = start(completing)
    client = kernel.client()
    client.ok(WITNESS)
    client.ok(code)
    assert complete(client) == ["attribute_one", "attribute_two"]
    seen = {int(line) for line in client.evaluate("open('seen').read().split()")}
    assert seen and (kernel.worker.pid not in seen) == in_a_child, (seen, kernel.worker.pid)
    assert children(kernel.worker.pid) == []


def test_completion_that_hangs_is_interrupted(completing: Nursery, start: Start) -> None:
    kernel = start(completing)
    client = kernel.client()
    client.ok(
        block("""
            import time
            class Hangs:
                def __dir__(self):
                    open('reached', 'w').close()
                    while True: time.sleep(60)
            witness = Hangs()
        """)
    )
    reached = Path(client.evaluate("__import__('os').path.abspath('reached')"))
    code = "witness.attr"
    asked = client.send("complete_request", {"code": code, "cursor_pos": len(code)})
    end = time.monotonic() + DEADLINE
    while not reached.exists():
        assert time.monotonic() < end
    (child,) = children(born_in_nursery(kernel).pid)
    os.kill(kernel.pid, signal.SIGINT)
    assert client.recv_reply(asked).content["ename"] == "KeyboardInterrupt"
    assert not Path(f"/proc/{child}").exists()
    assert client.ok("1+1").text == "2"
