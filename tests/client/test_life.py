# SPDX-License-Identifier: BSD-3-Clause
"""Issue 3, point 7, and the design's life and death: a kernel that dies says why, and leaves nothing behind."""

import atexit
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from launch import Kernel, command, connection_content, environment
from procs import Process, family, time_until_gone
from pupitre.cgroups import tightest
from raw import Client, Connection, Result, block

Launch = Callable[..., Kernel]
READY = "print('ready', flush=True)\n"

# code, the words of the notice, the exit status of the kernel
DEATHS: dict[str, tuple[str, tuple[str, ...], int]] = {
    "segmentation fault": ("import ctypes\nctypes.string_at(0)", ("segmentation fault", "line 3"), -signal.SIGSEGV),
    "abort": ("import os\nos.abort()", ("abort",), -signal.SIGABRT),
    "_exit(3)": ("import os\nos._exit(3)", ("3",), 3),
    "_exit(0)": ("import os\nos._exit(0)", ("0",), 0),
    "SIGKILL by itself": ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", ("SIGKILL",), -signal.SIGKILL),
    "SIGTERM by itself": ("import os, signal\nos.kill(os.getpid(), signal.SIGTERM)", ("SIGTERM",), -signal.SIGTERM),
    "SIGFPE": ("import os, signal\nos.kill(os.getpid(), signal.SIGFPE)", ("arithmetic",), -signal.SIGFPE),
    "C recursion": (
        block("""
    import ctypes
    libc = ctypes.CDLL(None)
    proto = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
    import sys; sys.setrecursionlimit(10**9)
    class R:
        def __repr__(self): return repr(self)
    def f(n): return sorted([n, n], key=f)
    f(1)
"""),
        ("C stack", "recursion"),
        -signal.SIGSEGV,
    ),
}


def notice(result: Result) -> str:
    """The error output's text; it is on the cell that ran."""
    assert result.status == "error"
    error = result.error
    assert error["ename"] and error["traceback"]
    assert result.content["ename"] == error["ename"]
    return " ".join([error["ename"], error["evalue"], result.traceback])


@pytest.mark.parametrize("name", DEATHS)
def test_life_death_is_explained(kernel: Kernel, fresh: Client, name: str) -> None:
    code, words, status = DEATHS[name]
    fresh.ok("x = 1")
    cell = fresh.begin(READY + code)
    result = fresh.collect(cell, begun=True)
    text = notice(result)
    for word in words:
        assert word.lower() in text.lower(), f"{word!r} not in {text!r}"
    assert kernel.wait_exit() == status
    assert sys.gettrace() is None and not fresh.inbox


def test_life_death_names_the_cell(fresh: Client, kernel: Kernel) -> None:
    fresh.ok("x = 1")
    result = fresh.run("y = 2\nimport ctypes\nctypes.string_at(0)")
    assert f"[{result.one('execute_input').content['execution_count']}]" in notice(result)
    kernel.wait_exit()


def test_life_death_by_sigkill_from_outside(fresh: Client, kernel: Kernel) -> None:
    """What the system's out-of-memory killer does."""
    cell = fresh.begin(READY + "import time; time.sleep(60)")
    begin = time.monotonic()
    os.kill(kernel.worker.pid, signal.SIGKILL)
    result = fresh.collect(cell, begun=True)
    took = time.monotonic() - begin
    assert "SIGKILL" in notice(result) and took < 1
    assert kernel.wait_exit() == -signal.SIGKILL
    print(f"death notice after {took * 1000:.0f} ms")


def test_life_death_while_c_code_holds_the_gil(fresh: Client, kernel: Kernel) -> None:
    cell = fresh.begin(READY + "sum(range(10**10))")
    os.kill(kernel.worker.pid, signal.SIGSEGV)
    assert "segmentation fault" in notice(fresh.collect(cell, begun=True))
    assert kernel.wait_exit() == -signal.SIGSEGV


def test_life_death_answers_what_is_queued(fresh: Client, kernel: Kernel) -> None:
    """Nothing that was asked stays without reply and idle, whoever asked."""
    other = kernel.client()
    cell = fresh.begin(READY + "import os, time; time.sleep(0.2); os._exit(3)")
    queued = [(c, c.execute("1")) for c in (fresh, other, fresh)]
    queued.append((other, other.send("complete_request", {"code": "x", "cursor_pos": 1})))
    assert "3" in notice(fresh.collect(cell, begun=True))
    for client, msg_id in queued:
        assert client.collect(msg_id).status in ("error", "aborted")
    assert kernel.wait_exit() == 3


def test_life_death_answers_hundreds_that_wait(fresh: Client, kernel: Kernel) -> None:
    """More than the kernel reads at once, on both channels: it is stopped while they are sent and the worker dies."""
    cell = fresh.begin(READY + "import time; time.sleep(60)")
    worker = kernel.worker
    os.kill(kernel.pid, signal.SIGSTOP)
    os.kill(worker.pid, signal.SIGKILL)
    asked = [fresh.execute("1", channel=channel) for _ in range(150) for channel in ("shell", "control")]
    asked.append(fresh.send("kernel_info_request", channel="control"))
    assert worker.gone(10)
    os.kill(kernel.pid, signal.SIGCONT)
    assert "SIGKILL" in notice(fresh.collect(cell, begun=True))
    statuses = [fresh.collect(msg_id).status for msg_id in asked]
    assert statuses == ["error"] * 300 + ["ok"]
    assert kernel.wait_exit() == -signal.SIGKILL


def test_life_death_when_idle(fresh: Client, kernel: Kernel) -> None:
    """No cell to blame; the status says it, and standard error."""
    os.kill(kernel.worker.pid, signal.SIGKILL)
    assert kernel.wait_exit() == -signal.SIGKILL
    assert "SIGKILL" in kernel.output() or "signal 9" in kernel.output()
    fresh.drain()


def test_life_death_keeps_the_last_words(fresh: Client, kernel: Kernel) -> None:
    """Text printed a microsecond before arrives, to the streams and to the descriptors."""
    result = fresh.run(
        block(r"""
        import os, sys
        print('last line'); os.write(1, b'last bytes\n')
        sys.stderr.write('last error'); os._exit(9)
    """)
    )
    assert "last line\n" in result.stdout and "last bytes\n" in result.stdout and "last error" in result.stderr
    assert kernel.wait_exit() == 9


def test_life_death_in_a_thread(fresh: Client, kernel: Kernel) -> None:
    result = fresh.run(
        "import ctypes, threading\nt = threading.Thread(target=ctypes.string_at, args=(0,)); t.start(); t.join()"
    )
    assert "segmentation fault" in notice(result)
    assert kernel.wait_exit() == -signal.SIGSEGV


def test_life_death_of_a_completion(fresh: Client, kernel: Kernel) -> None:
    """Code of the user runs in other requests, too. From a nursery, a child is sent first, once."""
    fresh.ok("import os\nclass Bad:\n    def __dir__(self): os._exit(7)\nbad = Bad()")
    result = fresh.request("complete_request", {"code": "bad.", "cursor_pos": 4})
    if result.status == "ok":
        assert result.content["matches"] == []
        result = fresh.request("complete_request", {"code": "bad.", "cursor_pos": 4})
    assert result.status == "error"
    assert kernel.wait_exit() == 7


def test_life_out_of_memory_under_rlimit(launch: Launch) -> None:
    """RLIMIT_AS: Python's own MemoryError, and the kernel lives; or the notice says memory."""
    kernel = launch(prefix=["sh", "-c", 'ulimit -v 3000000; exec "$@"', "sh"])
    client = kernel.client()
    result = client.run("blocks = []\nwhile True: blocks.append(bytearray(64 << 20))", deadline=30)
    assert result.status == "error"
    assert "memory" in (result.content["ename"] + result.content["evalue"] + notice(result)).lower()
    if not kernel.dead():
        client.ok("del blocks")
        assert client.ok("1").text == "1"


def memory_cgroup(limit: int) -> Path | None:
    """A new cgroup whose processes may use `limit` bytes together; None where this user may not make one."""
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    for _, controllers, own in (line.split(":", 2) for line in lines):
        if controllers not in ("", "memory"):
            continue
        root = Path("/sys/fs/cgroup", controllers, own.lstrip("/"))
        path = root / f"pupitre-test-{os.getpid()}"
        try:
            path.mkdir()
            (path / ("memory.limit_in_bytes" if controllers else "memory.max")).write_text(str(limit))
        except OSError:
            if path.exists():
                path.rmdir()
            continue
        return path
    return None


CGROUP = memory_cgroup(400 << 20)
if CGROUP is not None:  # as root, or where the user's own cgroup was delegated
    atexit.register(CGROUP.rmdir)

    def test_life_out_of_memory_in_a_cgroup(launch: Launch) -> None:
        """The system kills the worker without a word; the front asks the cgroup, which holds both, and says it."""
        kernel = launch(prefix=["sh", "-c", f'echo $$ >{CGROUP}/cgroup.procs; exec "$@"', "sh"])
        result = kernel.client().run(
            "blocks = []\nwhile True: blocks.append(bytearray(b'x' * (16 << 20)))", deadline=60
        )
        assert result.status == "error"
        assert "out of memory: the limit of this server" in notice(result)
        kernel.wait_exit()

    def test_life_out_of_memory_without_a_limit(launch: Launch) -> None:
        """Where no cgroup around the kernel has a limit, it is the machine that ran out: the text blames no other."""
        names = ("memory.max", "memory.limit_in_bytes")
        limit = next(file for name in names if (file := CGROUP / name).exists())
        kernel = launch(prefix=["sh", "-c", f'echo $$ >{CGROUP}/cgroup.procs; exec "$@"', "sh"])
        client = kernel.client()
        cell = client.begin(READY + "blocks = []\nwhile True: blocks.append(bytearray(b'x' * (16 << 20)))")
        worker = kernel.worker
        os.kill(kernel.pid, signal.SIGSTOP)  # until there is no limit any more
        try:
            assert worker.gone(60)
            had = limit.read_text()
            limit.write_text("max" if limit.name == "memory.max" else "-1")
        finally:
            os.kill(kernel.pid, signal.SIGCONT)
        try:
            expected = "the limit of this server" if tightest("memory") else "the machine ran out of memory"
            assert expected in notice(client.collect(cell, begun=True))
            kernel.wait_exit()
        finally:
            limit.write_text(had)


def test_life_exec_by_the_user(fresh: Client, kernel: Kernel) -> None:
    """os.execv replaces the worker: an answer all the same."""
    result = fresh.run("import os\nos.execv('/bin/true', ['true'])")
    assert result.status == "error"
    kernel.wait_exit()


def test_life_worker_that_stops_is_still_shut_down(fresh: Client, kernel: Kernel) -> None:
    cell = fresh.begin(READY + "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)")
    processes = kernel.processes()
    msg_id = fresh.send("shutdown_request", {"restart": False}, channel="control")
    fresh.recv_reply(msg_id)
    assert kernel.wait_exit(3) == 0
    time_until_gone(processes, 1)
    fresh.recv_reply(cell)
    fresh.drain()


# -- the front goes ---

BUSY = {
    "idle": "",
    "sleeping": "import time; time.sleep(60)",
    "in C with the GIL": "sum(range(10**10))",
    "with children": block("""
        import subprocess, time
        p = [subprocess.Popen(['sleep', '60']) for _ in range(3)]
        print('go', flush=True)
        time.sleep(60)
    """),
    "ignoring signals": block("""
    import signal
    for s in range(1, 65):
        if s not in (9, 19, 32, 33):
            try: signal.signal(s, signal.SIG_IGN)
            except (OSError, ValueError): pass
    print('go', flush=True)
    while True: pass
"""),
    "blocking signals": block("""
    import signal
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals()); print('go', flush=True)
    while True: pass
"""),
}


@pytest.mark.parametrize("name", BUSY)
def test_life_front_killed_takes_everything_with_it(fresh: Client, kernel: Kernel, name: str) -> None:
    """Promised within 100 ms; a loaded machine gets a second, the figure is printed."""
    code = BUSY[name]
    if code:
        cell = fresh.begin(READY + code)
        if "go" in code:
            fresh.recv_stream(cell, "go\n")
    processes = kernel.processes()
    assert len(processes) >= (5 if name == "with children" else 2)
    os.kill(kernel.pid, signal.SIGKILL)
    took = time_until_gone(processes, 1)
    print(f"front killed, {name}: the rest gone after {took * 1000:.1f} ms")
    fresh.drain()


# What a server starts instead of the kernel, with the kernel's command as arguments.
WRAPPERS = {
    "none": [],
    "a shell that waits": ["bash", "-c", '"$@"; true', "bash"],
    "a shell that has gone": ["bash", "-c", '"$@" & true', "bash"],
    "setsid": ["setsid", "--fork"],
}


def kernel_of(file: Path) -> Process:
    """The pupitre-kernel with this connection file on its command line."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        process = Process.open(int(entry.name))
        if process and process.name.startswith("pupitre-kernel"[:15]) and os.fsencode(file) in arguments:
            return process
    raise AssertionError(f"no kernel has {file}")


@pytest.mark.parametrize("name", WRAPPERS)
def test_life_server_that_dies_takes_the_kernel_with_it(directory: Path, name: str) -> None:
    """No polling, the kernel notices at once; whether the server is its parent or only named in JPY_PARENT_PID."""
    argv, spec_env = command()
    content = connection_content(directory)
    path = directory / "kernel.json"
    path.touch(0o600)
    path.write_text(json.dumps(content))
    code = block("""
        import os, subprocess, sys, time
        os.environ['JPY_PARENT_PID'] = str(os.getpid())
        subprocess.Popen(sys.argv[1:], start_new_session=True)
        time.sleep(100)
    """)
    server = subprocess.Popen(
        [sys.executable, "-c", code, *WRAPPERS[name], *argv, "-f", str(path)],
        stderr=subprocess.DEVNULL, env={**environment(directory), **spec_env},
    )  # fmt: skip
    client = Client(Connection.of(content))
    client.take(lambda message: message.type == "iopub_welcome", "iopub_welcome", 30)
    assert client.collect(client.execute("1"), 30).text == "1"
    client.close()
    processes = family(kernel_of(path).pid)
    server.kill()
    took = time_until_gone(processes, 2)
    server.wait()
    print(f"server killed: kernel gone after {took * 1000:.1f} ms")


def test_life_younger_namesake_is_not_the_server(launch: Launch) -> None:
    """JPY_PARENT_PID may be of a server that has gone, and its number somebody else's."""
    with subprocess.Popen(["sleep", "60"]) as sleeper:
        # Younger by a tick of the clock that processes' ages are told in: what starts then, cut itself, is.
        age = "cut -d ' ' -f 22 /proc/$1/stat"
        script = f"age() {{ {age}; }}; until [[ $(age self) -gt $(age $$) ]]; do :; done; "
        script += 'sleep 60 & JPY_PARENT_PID=$! exec "$@"'
        kernel = launch(env={"JPY_PARENT_PID": str(sleeper.pid)})
        young = launch(prefix=["bash", "-c", script, "bash"])
        sleeper.kill()
    assert kernel.wait_exit() == 1
    other = young.wait_child("sleep")
    os.kill(other.pid, signal.SIGKILL)
    assert young.client().ok("1").text == "1"


@pytest.mark.parametrize("value", ["1", "0", "", "nonsense", "999999999"])
def test_life_odd_parents_do_not_end_the_kernel(launch: Launch, value: str) -> None:
    """Containers: pid 1 is exempt."""
    kernel = launch(env={"JPY_PARENT_PID": value})
    client = kernel.client()
    assert client.ok("1").text == "1"
    assert client.ok("2").text == "2"


# -- what the one who started it left us ---


def test_life_leaked_descriptors(launch: Launch) -> None:
    """What leaked into the front stops there: neither the worker nor what it starts has it."""
    kernel = launch(prefix=["bash", "-c", 'exec 7>leaked 9>leaked 40>leaked; exec "$@"', "bash"])
    files = {process.pid: held(process.pid) for process in kernel.processes()}
    assert files.pop(kernel.pid).count("leaked") == 3 and "leaked" not in files[kernel.worker.pid]
    listing = "import os\nif not os.fork():\n    os.execvp('ls', ['ls', '-l', '/proc/self/fd'])\nos.wait()"
    assert "leaked" not in kernel.client().ok(listing, deadline=20).stdout


def held(pid: int) -> list[str]:
    """The names of the files that a process has open."""
    return [os.path.basename(os.readlink(link)) for link in Path(f"/proc/{pid}/fd").iterdir()]


# -- nothing happens ---


def test_life_idle_kernel_does_not_wake_up(kernel: Kernel, fresh: Client) -> None:
    """No timer, no polling: no context switch in any thread of any process over some seconds."""
    fresh.ok("import asyncio; await asyncio.sleep(0); print('x')")
    fresh.heartbeat()
    fresh.close()
    kernel.clients.remove(fresh)
    front = kernel.processes()[0]
    settle(kernel)
    before = {process: process.switches() for process in kernel.processes()}
    assert not front.gone(5)
    after = {process: process.switches() for process in kernel.processes()}
    woken = {process.name: after[process] - count for process, count in before.items()}
    assert sum(woken.values()) == 0, f"woken {woken} times in 5 s"


def settle(kernel: Kernel) -> None:
    """Until what the last client caused is over, what is put off for idle moments included: 1.5 s without a switch."""
    end = time.monotonic() + 20
    front = kernel.processes()[0]
    while time.monotonic() < end:
        before = sum(process.switches() for process in kernel.processes())
        assert not front.gone(1.5)
        if sum(process.switches() for process in kernel.processes()) == before:
            return
    raise AssertionError("the kernel never comes to rest")


def test_life_many_requests_leak_nothing(kernel: Kernel, fresh: Client) -> None:
    """Descriptors and memory of the front after a few hundred requests."""
    for _ in range(50):
        fresh.ok("print(1); 2")
    front = kernel.processes()[0]
    fds, rss = front.descriptors(), front.rss()
    for _ in range(400):
        fresh.ok("print(1); 2")
    assert front.descriptors() == fds
    assert front.rss() - rss < 1 << 20


def test_life_processes_are_two(kernel: Kernel, fresh: Client) -> None:
    fresh.ok("1")
    processes: list[Process] = kernel.processes()
    assert len(processes) == 2
    assert len(processes[1].status("Threads")) == 1
