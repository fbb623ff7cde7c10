# SPDX-License-Identifier: BSD-3-Clause
"""Specification table, section H without debugger and subshells: shutdown, interrupt, usage."""

import os
import signal
import subprocess
from collections.abc import Callable

import pytest
from launch import Kernel
from procs import time_until_gone
from raw import Client, Result, block, within

Launch = Callable[..., Kernel]
PROMPTLY = 5  # seconds; what is interrupted would go on for a minute
READY = "print('ready', flush=True)\n"


# -- interrupt ---


def by_signal(kernel: Kernel, client: Client) -> None:
    kernel.interrupt()


def by_message(kernel: Kernel, client: Client) -> None:
    msg_id = client.send("interrupt_request", channel="control")
    assert client.recv_reply(msg_id).content == {"status": "ok"}
    client.recv_busy(msg_id)
    client.recv_idle(msg_id)


INTERRUPTS = pytest.mark.parametrize("interrupt", [by_signal, by_message])

BLOCKING = {
    "sleep": "import time; time.sleep(60)",
    "lock": "import threading; lock = threading.Lock(); lock.acquire(); lock.acquire()",
    "event": "import threading; threading.Event().wait()",
    "condition": "import threading; c = threading.Condition()\nwith c: c.wait(60)",
    "queue": "import queue; queue.Queue().get()",
    "join": "import threading as th, time; t = th.Thread(target=time.sleep, args=(2,)); t.start(); t.join()",
    "select": "import select; select.select([], [], [], 60)",
    "pipe": "import os; r, w = os.pipe(); os.read(r, 1)",
    "socket": "import socket; s = socket.create_server(('127.0.0.1', 0)); s.accept()",
    "busy loop": "while True: pass",
    "busy arithmetic": "n = 0\nwhile True: n = n * 3 % 1000003",
    "subprocess": "import subprocess; subprocess.run(['sleep', '60'])",
    "signal.pause": "import signal; signal.pause()",
}


def interrupted(result: Result) -> None:
    assert result.status == "error" and result.content["ename"] == "KeyboardInterrupt"
    assert result.error["ename"] == "KeyboardInterrupt" and result.error["traceback"]


@INTERRUPTS
@pytest.mark.parametrize("name", BLOCKING)
def test_h_interrupt_ends_blocking_code(
    client: Client, shared_kernel: Kernel, name: str, interrupt: Callable[..., None]
) -> None:
    cell = client.begin(READY + BLOCKING[name])
    with within(PROMPTLY, f"interrupt of {name}"):
        interrupt(shared_kernel, client)
        interrupted(client.collect(cell, begun=True))
    assert client.ok("1").text == "1"


# The interrupt comes when Python has last looked for signals and the system call has not begun.
JUST_BEFORE_SLEEP = """
import ctypes, operator, signal, time
from functools import partial
list(map(operator.call, [partial(ctypes.CDLL(None)["raise"], signal.SIGINT), partial(time.sleep, 60)]))
"""


@pytest.mark.parametrize("code", ["", "import signal; signal.signal(signal.SIGINT, lambda *_: 1 / 0)"])
def test_h_interrupt_just_before_a_system_call_ends_it(client: Client, code: str) -> None:
    with within(3):
        result = client.run(code + JUST_BEFORE_SLEEP)
    assert result.content["ename"] == ("ZeroDivisionError" if code else "KeyboardInterrupt")


def test_h_interrupt_on_its_way_to_a_cell_is_kept(client: Client, shared_kernel: Kernel) -> None:
    """The front has passed the cell on, and the worker has not begun it."""
    worker = shared_kernel.worker
    signal.pidfd_send_signal(worker.pidfd, signal.SIGSTOP)
    cell = client.execute("import time; time.sleep(60)")
    client.recv_busy(cell)
    by_message(shared_kernel, client)
    signal.pidfd_send_signal(worker.pidfd, signal.SIGCONT)
    interrupted(client.collect(cell, begun=True))


def test_h_interrupt_leaves_nothing_to_the_next_system_call(client: Client, shared_kernel: Kernel) -> None:
    code = """
import signal
rang = []
signal.signal(signal.SIGALRM, lambda *_: rang.append(1))
try:
    print('ready', flush=True)
    while True: pass
except KeyboardInterrupt:
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    signal.pause()
rang
"""
    cell = client.begin(code)
    shared_kernel.interrupt()
    assert client.collect(cell, begun=True).text == "[1]"


@INTERRUPTS
def test_h_interrupt_ends_await(client: Client, shared_kernel: Kernel, interrupt: Callable[..., None]) -> None:
    """BUG in ipykernel: the loop is not woken."""
    cell = client.begin("import asyncio; " + READY + "await asyncio.sleep(60)")
    with within(PROMPTLY):
        interrupt(shared_kernel, client)
        result = client.collect(cell, begun=True)
    assert result.status == "error" and result.content["ename"] in ("CancelledError", "KeyboardInterrupt")
    assert client.ok("1").text == "1"


@INTERRUPTS
def test_h_interrupt_ends_blocking_code_in_an_await_cell(
    client: Client, shared_kernel: Kernel, interrupt: Callable[..., None]
) -> None:
    """BUG in ipykernel: it cannot be interrupted at all."""
    cell = client.begin("import asyncio, time; await asyncio.sleep(0); " + READY + "time.sleep(60)")
    with within(PROMPTLY):
        interrupt(shared_kernel, client)
        result = client.collect(cell, begun=True)
    assert result.status == "error" and result.content["ename"] in ("CancelledError", "KeyboardInterrupt")
    assert client.ok("import asyncio; await asyncio.sleep(0); 1").text == "1"


@INTERRUPTS
def test_h_interrupt_ends_asyncio_run(client: Client, shared_kernel: Kernel, interrupt: Callable[..., None]) -> None:
    """asyncio.Runner raises CancelledError where the interrupt comes before it has set its count of them to 0."""
    cell = client.begin("import asyncio; " + READY + "asyncio.run(asyncio.sleep(60))")
    with within(PROMPTLY):
        interrupt(shared_kernel, client)
        result = client.collect(cell, begun=True)
    assert result.status == "error" and result.content["ename"] in ("KeyboardInterrupt", "CancelledError")
    assert client.ok("1").text == "1"


def test_h_interrupt_of_await_may_be_caught(client: Client, shared_kernel: Kernel) -> None:
    code = f"""
import asyncio
try:
    {READY}    await asyncio.sleep(60)
except asyncio.CancelledError: print('caught')
5"""
    cell = client.begin(code)
    shared_kernel.interrupt()
    result = client.collect(cell, begun=True)
    assert result.stdout == "caught\n" and result.text == "5"


@INTERRUPTS
def test_h_interrupt_ends_input(client: Client, shared_kernel: Kernel, interrupt: Callable[..., None]) -> None:
    cell = client.execute("input('? ')", allow_stdin=True)
    request = client.recv_input_request(cell)
    with within(PROMPTLY):
        interrupt(shared_kernel, client)
        interrupted(client.collect(cell))
    client.answer("late", request)
    again = client.execute("input('again ')", allow_stdin=True)
    request = client.recv_input_request(again)
    client.answer("in time", request)
    assert client.collect(again).text == "'in time'"


@INTERRUPTS
@pytest.mark.parametrize("code", ["!echo started; sleep 60", "%%bash\necho started\nsleep 60"])
def test_h_interrupt_ends_shell_commands(
    client: Client, shared_kernel: Kernel, interrupt: Callable[..., None], code: str
) -> None:
    """The child gets the signal, too, and is gone."""
    cell = client.execute(code)
    client.recv_busy(cell)
    client.recv_input(cell)
    assert "started" in client.recv("iopub", "stream", cell).content["text"]
    sleeper = shared_kernel.wait_child("sleep")
    with within(3):
        interrupt(shared_kernel, client)
        client.collect(cell, begun=True)
    time_until_gone([sleeper], 2)
    assert client.run("1", stop_on_error=False).status in ("ok", "aborted")


def test_h_interrupt_of_subprocess_reaches_the_child(client: Client, shared_kernel: Kernel) -> None:
    code = "import subprocess; p = subprocess.Popen(['sleep', '60'])\n" + READY + "p.wait()"
    cell = client.begin(code)
    shared_kernel.interrupt()
    interrupted(client.collect(cell, begun=True))
    assert client.evaluate("p.wait(5)") in (-2, 0)  # 0: the interrupt came between waitpid and its result


def test_h_interrupt_twice_ends_except_loop(client: Client, shared_kernel: Kernel) -> None:
    """Code that swallows the first one for ever does not swallow a second press soon after."""
    code = block("""
        import time
        while True:
            try:
                print('try', flush=True)
                while True: time.sleep(0.01)
            except: pass
    """)
    cell = client.begin(code, "try\n")
    with within(3):
        shared_kernel.interrupt()
        client.recv_stream(cell, "try\n")
        shared_kernel.interrupt()
        interrupted(client.collect(cell, begun=True))
    assert client.ok("1").text == "1"


def test_h_interrupt_of_an_idle_kernel_is_harmless(client: Client, shared_kernel: Kernel) -> None:
    """Not one reply lost, no KeyboardInterrupt in the cell that comes next."""
    for n in range(30):
        by_signal(shared_kernel, client)
        by_message(shared_kernel, client)
        assert client.ok(str(n)).text == str(n)


def test_h_interrupt_at_random_instants_loses_no_reply(client: Client, shared_kernel: Kernel) -> None:
    """Every request gets its reply and idle, whenever the signal comes."""
    for n in range(60):
        cell = client.execute(f"sum(range({n * 1000})); print({n})", stop_on_error=False)
        shared_kernel.interrupt()
        assert client.collect(cell).status in ("ok", "error")
    assert client.run("1", stop_on_error=False).status in ("ok", "error")
    assert client.ok("2").text == "2"


def test_h_interrupt_aborts_what_is_queued(client: Client, shared_kernel: Kernel) -> None:
    cell = client.begin(READY + "import time; time.sleep(60)")
    queued = [client.execute("1") for _ in range(3)]
    client.sync()
    by_message(shared_kernel, client)
    interrupted(client.collect(cell, begun=True))
    assert [client.collect(msg_id).status for msg_id in queued] == ["aborted"] * 3


def test_h_interrupt_does_not_reach_own_handler_by_accident(client: Client, shared_kernel: Kernel) -> None:
    """A cell may handle SIGINT itself; the next cell is interruptible again."""
    code = "import signal, time\nseen = []\nsignal.signal(signal.SIGINT, lambda *a: seen.append(1))\n"
    cell = client.begin(code + READY + "while not seen: time.sleep(0.01)\n5")
    shared_kernel.interrupt()
    assert client.collect(cell, begun=True).text == "5"
    cell = client.begin(READY + "time.sleep(60)")
    shared_kernel.interrupt()
    interrupted(client.collect(cell, begun=True))


def test_h_interrupt_during_start_is_harmless(launch: Launch) -> None:
    kernel = launch(wait=False)
    assert kernel.front
    while not kernel.front.handles(signal.SIGINT):
        assert not kernel.dead()
    client = kernel.client(wait=False)
    msg_id = client.send("kernel_info_request")
    while not client.receive(0.005):
        kernel.interrupt()
    client.collect(msg_id)
    assert client.run("1", stop_on_error=False).status == "ok"


def test_h_interrupt_then_shutdown(kernel: Kernel, fresh: Client) -> None:
    """What jupyter_client's manager does: SIGINT, then shutdown_request; SIGTERM would follow after 2.5 s."""
    fresh.begin(READY + "import time; time.sleep(60)")
    with within(2):
        kernel.interrupt()
        fresh.send("shutdown_request", {"restart": False}, channel="control")
        assert kernel.wait_exit() == 0
    fresh.drain()


def test_h_interrupt_of_c_code_that_cannot_be_interrupted_says_so(fresh: Client, kernel: Kernel) -> None:
    """After 2 s the cell says what is still running. In one statement: between two of them it can be interrupted."""
    cell = fresh.begin("sum(range(print('ready', flush=True) or 10**10))")
    kernel.interrupt()
    text = ""
    while "interrupt" not in text.lower():
        message = fresh.recv("iopub", "stream", cell)
        text += message.content["text"]
    kernel.close()
    fresh.drain()


# -- shutdown ---


@pytest.mark.parametrize("channel", ["control", "shell"])
@pytest.mark.parametrize("restart", [False, True])
def test_h_shutdown(kernel: Kernel, fresh: Client, channel: str, restart: bool) -> None:
    """Reply, then busy, shutdown_reply and idle on iopub, then exit status 0."""
    with within(2):
        result = fresh.request("shutdown_request", {"restart": restart}, channel=channel)
        assert result.content == {"status": "ok", "restart": restart}
        published = result.one("shutdown_reply")
        assert published.content["restart"] is restart and published.identities[0].endswith(b".shutdown")
        assert kernel.wait_exit() == 0


def test_h_shutdown_without_restart_field(kernel: Kernel, fresh: Client) -> None:
    result = fresh.request("shutdown_request", {}, channel="control")
    assert result.content == {"status": "ok", "restart": False}
    assert kernel.wait_exit() == 0


def test_h_shutdown_runs_atexit_and_publishes_its_output(kernel: Kernel, fresh: Client) -> None:
    fresh.ok("import atexit; atexit.register(print, 'bye from atexit')")
    msg_id = fresh.send("shutdown_request", {"restart": False}, channel="control")
    assert kernel.wait_exit() == 0
    fresh.recv_reply(msg_id)
    texts = ""
    while fresh.receive(0.5):
        texts = "".join(m.content["text"] for m in fresh.inbox if m.type == "stream")
        if texts:
            break
    assert "bye from atexit" in texts
    fresh.drain()


@pytest.mark.parametrize(
    "code",
    [
        "re.match('(a|a)*b', 'a' * 60)",
        "while True: pass",
        "time.sleep(60)",
        "ctypes.PyDLL(None).pause()",
    ],
    ids=["re", "loop", "sleep", "pause"],
)
@pytest.mark.parametrize("restart", [True, False])
def test_h_shutdown_whatever_runs(kernel: Kernel, fresh: Client, code: str, restart: bool) -> None:
    """What runs is interrupted. What was asked for is answered."""
    cell = fresh.begin("import ctypes, re, time\n" + READY + code)
    processes = kernel.processes()
    msg_id = fresh.send("shutdown_request", {"restart": restart}, channel="control")
    assert fresh.recv_reply(msg_id).content == {"status": "ok", "restart": restart}
    assert kernel.wait_exit() == 0
    time_until_gone(processes, 1)
    fresh.recv_reply(cell)
    fresh.drain()


@pytest.mark.parametrize("restart", [True, False])
def test_h_shutdown_of_c_code_that_holds_the_gil(kernel: Kernel, fresh: Client, restart: bool) -> None:
    """It is answered at once and ends by the SIGTERM that a manager then sends.

    In one statement: between two of them it can be interrupted.
    """
    cell = fresh.begin("sum(range(print('ready', flush=True) or 10**10))")
    processes = kernel.processes()
    msg_id = fresh.send("shutdown_request", {"restart": restart}, channel="control")
    assert fresh.recv_reply(msg_id).content == {"status": "ok", "restart": restart}
    kernel.signal(signal.SIGTERM)
    assert kernel.wait_exit() == -signal.SIGTERM
    time_until_gone(processes, 1)
    fresh.recv_reply(cell)
    fresh.drain()


def test_h_shutdown_ends_children(kernel: Kernel, fresh: Client) -> None:
    """Also those that would stall peers: zombies, and children that ignore SIGTERM."""
    fresh.ok(
        "import subprocess, signal\n"
        "a = subprocess.Popen(['sleep', '60'])\n"
        "b = subprocess.Popen(['sleep', '60'], preexec_fn=lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN))\n"
        "zombie = subprocess.Popen(['true'])"
    )
    processes = kernel.processes()
    assert len([process for process in processes if process.name == "sleep"]) == 2
    with within(3, "shutdown with children"):
        fresh.request("shutdown_request", {"restart": False}, channel="control")
        assert kernel.wait_exit() == 0
    time_until_gone(processes, 1)


@pytest.mark.parametrize("code", ["exit", "quit", "exit()", "quit()", "get_ipython().ask_exit()"])
def test_h_exit_from_a_cell(kernel: Kernel, fresh: Client, code: str) -> None:
    """Reply with the ask_exit payload and idle get out first; exit status 0."""
    result = fresh.ok(code)
    [payload] = result.content["payload"]
    assert payload["source"] == "ask_exit" and not payload["keepkernel"]
    with within(3):
        assert kernel.wait_exit() == 0


def test_h_exit_that_keeps_the_kernel(fresh: Client) -> None:
    result = fresh.ok("exit(keep_kernel=True)")
    assert result.content["payload"] == [{"source": "ask_exit", "keepkernel": True}]
    assert fresh.ok("1").text == "1"


def test_h_sigterm_cleans_up(kernel: Kernel, fresh: Client) -> None:
    processes = kernel.processes()
    os.kill(kernel.pid, signal.SIGTERM)
    assert kernel.wait_exit() == -signal.SIGTERM
    time_until_gone(processes, 1)
    fresh.drain()


def test_h_shutdown_twice(kernel: Kernel, fresh: Client) -> None:
    for _ in range(3):
        fresh.send("shutdown_request", {"restart": False}, channel="control")
    assert kernel.wait_exit() == 0
    fresh.drain()


# -- usage ---


def test_h_usage(client: Client, shared_kernel: Kernel) -> None:
    first = client.request("usage_request", channel="control")
    assert first.reply.type == "usage_reply"
    content = first.content
    assert content["hostname"] == os.uname().nodename
    assert content["pid"] in {process.pid for process in shared_kernel.processes()}
    assert content["cpu_count"] == os.cpu_count()
    assert 1 << 20 < content["kernel_memory"] < 1 << 30
    memory = content["host_virtual_memory"]
    assert set(memory) >= {"total", "available", "percent", "used", "free"}
    assert 0 < memory["available"] <= memory["total"] and 0 <= memory["percent"] <= 100


def test_h_usage_counts_memory_and_processor_of_the_cell(client: Client) -> None:
    before = client.request("usage_request", channel="control").content["kernel_memory"]
    client.ok("block = bytearray(b'x' * (64 << 20))")
    after = client.request("usage_request", channel="control").content["kernel_memory"]
    assert (60 << 20) < after - before < (90 << 20)
    client.ok("del block\nimport time; end = time.monotonic() + 0.4\nwhile time.monotonic() < end: pass")
    assert client.request("usage_request", channel="control").content["kernel_cpu"] > 10


def test_h_usage_while_busy(client: Client, shared_kernel: Kernel) -> None:
    cell = client.begin(READY + "import time; time.sleep(60)")
    with within(1):
        assert client.request("usage_request", channel="control").content["kernel_memory"] > 0
    by_signal(shared_kernel, client)
    interrupted(client.collect(cell, begun=True))


# -- what is not there yet answers  ---


@pytest.mark.parametrize("msg_type", ["debug_request", "create_subshell_request", "list_subshell_request"])
def test_h_unsupported_requests_are_answered(client: Client, msg_type: str) -> None:
    result = client.request(msg_type, {"type": "request", "command": "debugInfo", "seq": 1}, channel="control")
    assert result.status == "error"
    features = client.request("kernel_info_request").content.get("supported_features", [])
    assert "debugger" not in features and "kernel subshells" not in features


def test_h_processes_are_named(shared_kernel: Kernel) -> None:
    """An administrator's view."""
    names = subprocess.run(
        ["ps", "-o", "comm=", *[str(p.pid) for p in shared_kernel.processes()]],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert names[0].startswith("pupitre-kernel"[:15]) and names[1].startswith("pupitre-worker"[:15])
