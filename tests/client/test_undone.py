# SPDX-License-Identifier: BSD-3-Clause
"""What did not run never looks as if it had: clients that run whole notebooks take every reply but `error` for success,
and some of them look at the published error only.
"""

import os
import signal
from collections.abc import Callable

import pytest
from launch import Kernel
from procs import FileWatch
from raw import DEADLINE, Client, Result

Launch = Callable[..., Kernel]
READY = "print('ready', flush=True)\n"
CELLS = 200  # more than are read from a socket at once


def undone(result: Result) -> str:
    """Both the reply and iopub say `error`, and nothing else. Returns its name."""
    assert result.status == "error" and result.types() == ["error"]
    assert {name: result.content[name] for name in ("ename", "evalue", "traceback")} == result.error
    assert result.error["ename"] in "".join(result.error["traceback"])
    return str(result.error["ename"])


@pytest.mark.parametrize("code", ["exit()", "quit", "await __import__('asyncio').sleep(0); exit()"])
def test_undone_after_exit(kernel: Kernel, fresh: Client, code: str) -> None:
    """Everything that waits, whoever asked, and what is asked while the kernel ends."""
    other = kernel.client()
    fresh.ok("import atexit, time; atexit.register(time.sleep, 0.5)")
    cell = fresh.execute(code)
    waiting = [(client, client.execute("assert False")) for client in [fresh, other] * 3]
    looks = fresh.send("is_complete_request", {"code": "x"})
    assert fresh.collect(cell).status == "ok"
    later = fresh.execute("assert False", stop_on_error=False)
    for client, msg_id in [*waiting, (fresh, later)]:
        assert undone(client.collect(msg_id)) == "KernelStopped"
    look = fresh.collect(looks)
    assert look.status == "error" and not look.messages
    assert kernel.wait_exit() == 0


def test_undone_after_exit_never_runs(kernel: Kernel, fresh: Client) -> None:
    """Not one cell slips in between the reply to exit() and the end."""
    marker = kernel.directory / "ran"
    cells = [fresh.execute(code) for code in ["exit()", *[f"open({str(marker)!r}, 'w')"] * 3]]
    assert [fresh.collect(cell).status for cell in cells] == ["ok", "error", "error", "error"]
    assert kernel.wait_exit() == 0 and not marker.exists()


def wait_taken(kernel: Kernel, client: Client) -> None:
    """Return when the kernel has read all that `client` sent on shell: it tells of a message that nobody signed."""
    frames = client.frames(client.header("execute_request"), {})
    with FileWatch(kernel.directory / "log") as watch:
        client.send_frames("shell", [frames[0], b"", *frames[2:]])
        while "event=dropped channel=shell" not in kernel.output():
            watch.wait(DEADLINE)


@pytest.mark.parametrize("by", ["shutdown", "SIGTERM", "death"])
def test_undone_at_the_end_of_the_kernel(kernel: Kernel, fresh: Client, by: str) -> None:
    """All that waits, however much it is."""
    other = kernel.client()
    cell = fresh.begin(READY + "import time; time.sleep(60)")
    waiting = [other.execute("assert False") for _ in range(CELLS)]
    wait_taken(kernel, other)
    if by == "shutdown":
        fresh.request("shutdown_request", {"restart": False}, channel="control")
    else:
        os.kill(*((kernel.pid, signal.SIGTERM) if by == "SIGTERM" else (kernel.worker.pid, signal.SIGKILL)))
    names = {undone(other.collect(msg_id)) for msg_id in waiting}
    assert names == {"KernelStopped" if by == "shutdown" else "KernelDied"}
    assert fresh.collect(cell, begun=True).status == "error"
    kernel.wait_exit()


def test_undone_by_death_whatever_is_asked_meanwhile(kernel: Kernel, fresh: Client) -> None:
    """A shutdown_request that comes while the rest is refused makes no orderly end of it."""
    cell = fresh.begin(READY + "import time; time.sleep(60)")
    os.kill(kernel.worker.pid, signal.SIGKILL)
    fresh.recv("iopub", "error", cell)
    fresh.send("shutdown_request", {"restart": False}, channel="control")
    assert kernel.wait_exit() == -signal.SIGKILL
    fresh.drain()


def test_undone_after_a_death_no_more_is_answered(kernel: Kernel, fresh: Client) -> None:
    """A client that goes on after errors finds the kernel dead, as it is."""
    assert fresh.run("import os; os._exit(0)").status == "error"
    fresh.execute("1", stop_on_error=False)
    assert kernel.wait_exit() == 0
    assert not fresh.receive(DEADLINE)


def test_undone_without_code(client: Client) -> None:
    result = client.request("execute_request", {"silent": False})
    assert undone(result) == "ValueError"


def test_undone_in_a_subshell_that_is_not_there(client: Client) -> None:
    result = client.request("execute_request", {"code": "1"}, header={"subshell_id": "none"})
    assert undone(result) == "SubshellNotFound"


def test_undone_by_a_payload_that_is_no_json(client: Client) -> None:
    """The cell ran, but what it asked of the client cannot be told."""
    result = client.run("get_ipython().payload_manager.write_payload({'source': 'odd', 'value': object()})")
    assert result.types() == ["execute_input", "error"]
    assert result.status == "error" and result.error["ename"] == result.content["ename"] == "TypeError"
