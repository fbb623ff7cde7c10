# SPDX-License-Identifier: BSD-3-Clause
"""Orderly ends: what the user's code still has to do is done, however long it takes, as in any Python process.

Who asks for the end has a clock of their own; jupyter_client's manager sends SIGTERM after 2.5 s and SIGKILL after 5 s.
"""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from jupyter_client import KernelManager
from launch import KERNEL, Kernel, environment
from procs import family, time_until_gone
from raw import Client, block

Launch = Callable[..., Kernel]
READY = "print('ready', flush=True)"  # where an interrupt finds what it is for
NOTE = "def note(text):\n    with open('notes', 'a') as file: print(text, file=file)\n"

# What runs when the end is asked for, and the cell that leads there; each notes "done" at last.
UNFINISHED = {
    "atexit": ("import atexit, time\n@atexit.register\ndef save(): time.sleep(2); note('done')\n", ""),
    "thread": (
        "import threading, time\ndef save(): time.sleep(1.5); note('done')\nthreading.Thread(target=save).start()\n",
        "",
    ),
    "executor": (
        block("""
        import concurrent.futures, time
        def save(): time.sleep(1.5); note('done')
        future = concurrent.futures.ThreadPoolExecutor().submit(save)
        """),
        "",
    ),
    "finally": (
        "import time",
        f"try: {READY}; time.sleep(60)\nfinally: time.sleep(1.5); note('done')\n",
    ),
    "finally of an await": (
        "import asyncio",
        f"try: {READY}; await asyncio.sleep(60)\nfinally: await asyncio.sleep(1.5); note('done')\n",
    ),
}
ALL = pytest.mark.parametrize("name", UNFINISHED)


def prepare(client: Client, name: str) -> str | None:
    """Run what leads to an unfinished state; the request that still runs."""
    before, cell = UNFINISHED[name]
    client.ok(NOTE + before)
    return client.begin(cell) if cell else None


def notes(kernel: Kernel) -> list[str]:
    file = kernel.directory / "notes"
    return file.read_text().split() if file.exists() else []


@ALL
@pytest.mark.parametrize("restart", [False, True])
def test_shutdown_waits_for_what_is_unfinished(kernel: Kernel, fresh: Client, name: str, restart: bool) -> None:
    prepare(fresh, name)
    msg_id = fresh.send("shutdown_request", {"restart": restart}, channel="control")
    assert fresh.recv_reply(msg_id).content == {"status": "ok", "restart": restart}
    assert kernel.wait_exit() == 0
    assert notes(kernel) == ["done"]
    fresh.drain()


@pytest.mark.parametrize("name", ["atexit", "thread", "executor"])
def test_exit_waits_for_what_is_unfinished(kernel: Kernel, fresh: Client, name: str) -> None:
    prepare(fresh, name)
    fresh.ok("exit")
    assert kernel.wait_exit() == 0
    assert notes(kernel) == ["done"]
    fresh.drain()


def test_threads_end_before_atexit_functions(kernel: Kernel, fresh: Client) -> None:
    """Python's order: what a thread still writes to is not closed yet. Both print into the cell that ran last."""
    fresh.ok(
        block("""
        import atexit, threading, time
        atexit.register(print, 'atexit')
        def late():
            time.sleep(0.5)
            print('thread')
        threading.Thread(target=late).start()
        """)
    )
    msg_id = fresh.send("shutdown_request", {"restart": False}, channel="control")
    fresh.recv_reply(msg_id)
    assert kernel.wait_exit() == 0
    while fresh.receive(0.5):
        pass
    texts = [message.content["text"] for message in fresh.inbox if message.type == "stream"]
    assert "".join(texts) == "thread\natexit\n"
    fresh.drain()


def test_shutdown_does_not_interrupt_what_a_manager_has_interrupted(launch: Launch) -> None:
    """A `finally:` of 50 ms: the manager interrupts and at once asks for the end. One interrupt, not two."""
    for _ in range(5):
        kernel = launch()
        client = kernel.client()
        client.ok(NOTE + "import time")
        client.begin(f"try: {READY}; time.sleep(60)\nfinally: time.sleep(0.05); note('done')\n")
        kernel.interrupt()
        client.send("shutdown_request", {"restart": True}, channel="control")
        assert kernel.wait_exit() == 0
        assert notes(kernel) == ["done"]
        client.drain()


def test_shutdown_when_the_status_is_the_codes_own(kernel: Kernel, fresh: Client) -> None:
    fresh.ok("import atexit, os; atexit.register(os._exit, 5)")
    fresh.send("shutdown_request", {"restart": False}, channel="control")
    assert kernel.wait_exit() == 5
    fresh.drain()


def test_sigterm_ends_an_orderly_end_that_takes_too_long(kernel: Kernel, fresh: Client) -> None:
    """What a manager does after 2.5 s, here at once."""
    fresh.ok(
        "import atexit, time; @atexit.register\ndef forever():\n    print('ending'); time.sleep(60)".replace(
            "; @", "\n@"
        )
    )
    msg_id = fresh.send("shutdown_request", {"restart": True}, channel="control")
    fresh.recv_reply(msg_id)
    fresh.take(lambda message: message.type == "stream" and "ending" in message.content["text"], "the atexit function")
    processes = kernel.processes()
    kernel.signal(signal.SIGTERM)
    assert kernel.wait_exit() == -signal.SIGTERM
    time_until_gone(processes, 2)
    fresh.drain()


# -- as JupyterLab ends and restarts a kernel ---


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KernelManager]:
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    manager = KernelManager(kernel_name=KERNEL)
    manager.start_kernel(cwd=str(tmp_path), env=environment(tmp_path))
    yield manager
    manager.shutdown_kernel(now=True)


@ALL
@pytest.mark.parametrize("how", ["shutdown", "restart"])
def test_manager_gives_what_is_unfinished_its_time(manager: KernelManager, tmp_path: Path, name: str, how: str) -> None:
    before, cell = UNFINISHED[name]
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=30)
        client.execute_interactive(NOTE + before, timeout=30)
        if cell:
            client.execute(cell)
            text = ""
            while text != "ready\n":
                text += client.get_iopub_msg(timeout=30)["content"].get("text", "")
        pid = manager.provisioner.pid  # type: ignore[union-attr]
        assert isinstance(pid, int)
        processes = family(pid)
        manager.restart_kernel() if how == "restart" else manager.shutdown_kernel()
        time_until_gone(processes, 0)
        assert (tmp_path / "notes").read_text().split() == ["done"]
    finally:
        client.stop_channels()


# -- the server goes while the kernel ends ---


def test_parent_that_dies_during_an_orderly_end_ends_it(launch: Launch) -> None:
    """The kernel's parent is a shell here, whose end is the server's."""
    script = 'export JPY_PARENT_PID=$$; "$@" & wait'
    kernel = launch(prefix=["bash", "-c", script, "bash"])
    client = kernel.client()
    client.ok("import atexit, time\n@atexit.register\ndef forever():\n    print('ending'); time.sleep(60)")
    client.send("shutdown_request", {"restart": False}, channel="control")
    client.take(lambda message: message.type == "stream" and "ending" in message.content["text"], "the atexit function")
    processes = kernel.processes()
    assert len(processes) == 3
    os.kill(kernel.pid, signal.SIGKILL)
    time_until_gone(processes, 2)
    client.drain()
