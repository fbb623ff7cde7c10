# SPDX-License-Identifier: BSD-3-Clause
"""Specification table, section O: the history database, the end of a session."""

import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path

from launch import Kernel
from raw import Client

Launch = Callable[..., Kernel]


def stop(kernel: Kernel, client: object) -> None:
    client.request("shutdown_request", {"restart": False}, channel="control")  # type: ignore[attr-defined]
    assert kernel.wait_exit() == 0


def rows(path: Path) -> list[tuple[int, str]]:
    with sqlite3.connect(path) as db:
        return db.execute("select line, source_raw from history order by session, line").fetchall()


def database(kernel: Kernel) -> Path:
    return kernel.directory / "ipython" / "profile_default" / "history.sqlite"


def test_o_history_is_in_the_users_database(launch: Launch) -> None:
    kernel = launch()
    client = kernel.client()
    client.ok("stored = 1")
    client.ok("not_stored = 1", store_history=False)
    client.ok("silent = 1", silent=True)
    client.run("1/0")
    stop(kernel, client)
    assert rows(database(kernel)) == [(1, "stored = 1"), (2, "1/0")]


def test_o_history_of_the_last_session_is_found_in_the_next(launch: Launch) -> None:
    first = launch()
    client = first.client()
    client.ok("yesterday = 1")
    stop(first, client)
    second = launch(env={"IPYTHONDIR": str(first.directory / "ipython")})
    client = second.client()
    client.ok("today = 2")
    tail = client.request("history_request", {"hist_access_type": "tail", "n": 5, "raw": True, "output": False})
    assert [row[2] for row in tail.content["history"]] == ["yesterday = 1", "today = 2"]
    sessions = [row[0] for row in tail.content["history"]]
    assert sessions[1] == sessions[0] + 1
    previous = client.request(
        "history_request", {"hist_access_type": "range", "session": -1, "raw": True, "output": False}
    )
    assert [row[2] for row in previous.content["history"]] == ["yesterday = 1"]
    assert "yesterday" in client.ok("%history ~1/1").stdout


def test_o_history_survives_a_sudden_end(launch: Launch) -> None:
    """Killed without warning: what was typed before is mostly there, and the database is not damaged."""
    first = launch()
    client = first.client()
    for n in range(5):
        client.ok(f"x = {n}")
    tail = client.request("history_request", {"hist_access_type": "tail", "n": 5, "raw": True, "output": False})
    assert len(tail.content["history"]) == 5
    first.close()
    second = launch(env={"IPYTHONDIR": str(first.directory / "ipython")})
    assert second.client().ok("1").text == "1"


def test_o_history_needs_no_thread(launch: Launch) -> None:
    kernel = launch()
    client = kernel.client()
    client.ok("x = 1")
    assert client.evaluate("[t.name for t in __import__('threading').enumerate()]") == ["MainThread"]
    assert len(kernel.worker.status("Threads")) == 1


def test_o_history_corrupt_database_is_moved_aside(launch: Launch, directory: Path) -> None:
    profile = directory / "0" / "ipython" / "profile_default"
    kernel = launch(before=lambda: write(profile / "history.sqlite", b"this is not a database" * 100))
    client = kernel.client()
    assert client.ok("after_the_damage = 1").status == "ok"
    tail = client.request("history_request", {"hist_access_type": "tail", "n": 5, "raw": True, "output": False})
    assert [row[2] for row in tail.content["history"]] == ["after_the_damage = 1"]
    client.inbox = [message for message in client.inbox if message.parent]  # it may say so


def write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(data)


def test_o_history_can_be_disabled(launch: Launch) -> None:
    kernel = launch(args=["--HistoryManager.enabled=False"])
    assert kernel.client().ok("1").text == "1"
    assert not database(kernel).exists()


def test_o_history_in_memory(launch: Launch) -> None:
    kernel = launch(args=["--HistoryManager.hist_file=:memory:"])
    client = kernel.client()
    client.ok("remembered = 1")
    tail = client.request("history_request", {"hist_access_type": "tail", "n": 5, "raw": True, "output": False})
    assert [row[2] for row in tail.content["history"]] == ["remembered = 1"]
    assert not database(kernel).exists()


def test_o_end_of_session_resets_names_and_runs_atexit(launch: Launch) -> None:
    kernel = launch()
    client = kernel.client()
    client.ok(
        "import atexit\nclass Last:\n    def __del__(self): open('deleted', 'w').close()\n"
        "last = Last()\natexit.register(lambda: open('atexit', 'w').close());"
    )
    stop(kernel, client)
    assert (kernel.directory / "atexit").exists() and (kernel.directory / "deleted").exists()


def test_o_late_threads_do_not_hang_the_end(launch: Launch) -> None:
    kernel = launch()
    client = kernel.client()
    client.ok(
        "import threading, time\ndef chatter():\n    while True: print('.'); time.sleep(0.001)\n"
        "threading.Thread(target=chatter, daemon=True).start()"
    )
    msg_id = client.send("shutdown_request", {"restart": False}, channel="control")
    client.recv_reply(msg_id)
    assert kernel.wait_exit(3) == 0
    client.drain()


def test_o_a_thread_that_never_ends_is_waited_for_until_sigterm(launch: Launch) -> None:
    """As Python waits for a thread that is no daemon. Whoever asked for the end has the next word."""
    kernel = launch()
    client = kernel.client()
    client.ok("import threading; threading.Thread(target=threading.Event().wait).start()")
    client.recv_reply(client.send("shutdown_request", {"restart": False}, channel="control"))
    kernel.signal(signal.SIGTERM)
    assert kernel.wait_exit(5) == -signal.SIGTERM
    client.drain()


def test_o_printed_text_is_kept_within_bounds(fresh: Client) -> None:
    """For %notebook: the beginning of it, whole characters, and not what a background thread prints for older cells."""
    fresh.ok("print('é' * 100_000)")
    kept = fresh.evaluate("[o.bundle['stream'] for o in get_ipython().history_manager.outputs[1]]")
    [[text]] = kept
    assert text == "é" * 4096
