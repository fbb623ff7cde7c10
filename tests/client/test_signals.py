# SPDX-License-Identifier: BSD-3-Clause
"""Signals sent to the process that Jupyter knows do to the user's code what they do to any Python process."""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from launch import Kernel
from procs import Process, time_until_gone
from raw import DEADLINE, Client, block

Launch = Callable[..., Kernel]
READY = "print('ready', flush=True)\n"

# Not to be caught; the user's Stop; two that the kernel itself needs (SIGRTMAX - 1 and - 2).
OTHERS = {signal.SIGKILL, signal.SIGSTOP, signal.SIGINT, signal.SIGRTMAX - 1, signal.SIGRTMAX - 2}
CATCHABLE = sorted(set(map(int, signal.valid_signals())) - OTHERS)
STOPPING = (signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)
HARMLESS = (signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH, *STOPPING)
IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)
ENDING = [number for number in CATCHABLE if number not in HARMLESS + IGNORED_BY_PYTHON]

HANDLE = block(f"""
    import signal, time
    caught = []
    for number in {CATCHABLE}: signal.signal(number, lambda number, frame: (caught.append(number), print(number)))
""")


def texts(client: Client, cell: str, number: int) -> None:
    client.recv_stream(cell, f"{number}\n")


def state(process: Process) -> str:
    """One letter, as ps has it."""
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]


def wait_state(processes: Iterable[Process], stopped: bool) -> None:
    """Looks again and again: there is no event for it."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        if all((state(process) == "T") is stopped for process in processes):
            return
    raise AssertionError({process.name: state(process) for process in processes})


# -- handlers that a cell has set ---


def test_every_signal_reaches_a_handler_in_a_running_cell(client: Client, shared_kernel: Kernel) -> None:
    client.ok(HANDLE)
    cell = client.begin(READY + f"while set(caught) < {set(CATCHABLE)}: time.sleep(0.01)")
    for number in CATCHABLE:
        os.kill(shared_kernel.pid, number)
        texts(client, cell, number)
    assert client.collect(cell, begun=True).status == "ok"
    client.ok("for number in caught: signal.signal(number, signal.SIG_DFL)")


def test_every_signal_reaches_a_handler_when_idle(kernel: Kernel, fresh: Client) -> None:
    cell = fresh.execute(HANDLE)
    assert fresh.collect(cell).status == "ok"
    for number in CATCHABLE:
        os.kill(kernel.pid, number)
        fresh.take(lambda m, n=number: m.type == "stream" and m.content["text"] == f"{n}\n", f"signal {number}")
    assert fresh.evaluate("sorted(set(caught))") == CATCHABLE


def test_handler_when_idle_leaves_the_garbage_collector_on(kernel: Kernel, fresh: Client) -> None:
    """Beside a thread, for which it is on while the kernel waits."""
    cell = fresh.execute(
        block("""
        import gc, signal, threading
        end = threading.Event()
        threading.Thread(target=end.wait).start()
        signal.signal(signal.SIGUSR1, lambda *_: print('caught'))
        """)
    )
    assert fresh.collect(cell).status == "ok"
    os.kill(kernel.pid, signal.SIGUSR1)
    fresh.take(lambda m: m.type == "stream" and m.content["text"] == "caught\n", "the handler's text")
    assert fresh.evaluate("gc.isenabled()") is True
    assert fresh.evaluate("gc.isenabled()") is True
    fresh.ok("end.set()")


def test_handler_that_is_taken_away_is_let_go(client: Client) -> None:
    client.ok(
        block("""
        import signal, weakref
        def handler(number, frame): pass
        known = weakref.ref(handler)
        signal.signal(signal.SIGUSR1, handler)
        signal.signal(signal.SIGUSR1, signal.SIG_DFL) is handler or 1 / 0
        del handler
        """)
    )
    assert client.evaluate("known() is None") is True


def test_signals_that_are_ignored_end_nothing(kernel: Kernel, fresh: Client) -> None:
    numbers = [number for number in CATCHABLE if number not in (signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE)]
    numbers = [number for number in numbers if number not in (signal.SIGILL, signal.SIGABRT)]  # the last words' own
    fresh.ok(f"import signal\nfor number in {numbers}: signal.signal(number, signal.SIG_IGN)")
    for number in numbers:
        os.kill(kernel.pid, number)
    assert fresh.ok("1").text == "1"


def test_signals_that_are_blocked_wait(client: Client, shared_kernel: Kernel) -> None:
    """signal.sigwait takes them; a value and its sender come along."""
    wait = "signal.sigwaitinfo({signal.SIGUSR1, signal.SIGRTMIN})"
    cell = client.begin(
        "import signal\nbefore = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGRTMIN})\n"
        + READY
        + f"first, second = {wait}, {wait}\n"
        + "signal.pthread_sigmask(signal.SIG_SETMASK, before)\n"
        + "first.si_signo, second.si_signo, second.si_code, second.si_pid"
    )
    os.kill(shared_kernel.pid, signal.SIGUSR1)
    assert ctypes.CDLL(None).sigqueue(shared_kernel.pid, signal.SIGRTMIN, ctypes.c_void_p(7)) == 0
    queued = (int(signal.SIGUSR1), int(signal.SIGRTMIN), -1, os.getpid())
    assert client.collect(cell, begun=True).text == str(queued)


def test_handler_that_saves_and_exits_when_idle(kernel: Kernel, fresh: Client) -> None:
    """The usual one of batch systems. The kernel ends in order, with that status."""
    fresh.ok(
        block("""
        import atexit, signal, sys
        def save(number, frame):
            open('saved', 'w').write(str(number))
            sys.exit(7)
        signal.signal(signal.SIGTERM, save)
        atexit.register(lambda: open('left', 'w').close())
        """)
    )
    os.kill(kernel.pid, signal.SIGTERM)
    assert kernel.wait_exit() == 7
    assert (kernel.directory / "saved").read_text() == "15" and (kernel.directory / "left").exists()
    fresh.drain()


# -- what they do by default ---


@pytest.mark.parametrize("number", ENDING)
def test_signal_without_handler_ends_the_kernel_with_it(kernel: Kernel, fresh: Client, number: int) -> None:
    cell = fresh.begin(READY + "import time; time.sleep(60)")
    processes = kernel.processes()
    os.kill(kernel.pid, number)
    assert fresh.collect(cell, begun=True).error["ename"] == "KernelDied"
    assert kernel.wait_exit() == -number
    time_until_gone(processes, 2)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGRTMIN])
def test_signal_ends_a_kernel_that_starts(launch: Launch, number: int) -> None:
    kernel = launch(wait=False)
    assert kernel.front
    while not kernel.front.handles(number):
        assert not kernel.dead()
    os.kill(kernel.pid, number)
    assert kernel.wait_exit() == -number


def test_signals_without_effect_have_none(kernel: Kernel, fresh: Client) -> None:
    """Among them SIGTSTP: like any process that Jupyter starts it is in a session without a shell to let it go on."""
    for number in HARMLESS + IGNORED_BY_PYTHON:
        os.kill(kernel.pid, number)
        assert fresh.ok(str(int(number))).text == str(int(number))


# -- job control ---


@pytest.mark.parametrize("number", STOPPING)
def test_stop_and_continue_from_a_shell(launch: Launch, number: int) -> None:
    """Front and worker stop together and go on together, in the middle of a cell; nothing is said about it."""
    script = (
        "import subprocess, sys; subprocess.run(sys.argv[1:], process_group=0)"  # what a shell with job control does
    )
    shell = launch(prefix=[sys.executable, "-c", script])
    _, front, worker = shell.processes()
    client = shell.client()
    for _ in range(3):
        cell = client.begin("import time\nprint('ready', flush=True)\ntime.sleep(0.3)\n5")
        os.kill(front.pid, number)
        wait_state((front, worker), True)
        os.kill(front.pid, signal.SIGCONT)
        wait_state((front, worker), False)
        result = client.collect(cell, begun=True)
        assert result.text == "5" and not result.stderr


def test_continue_reaches_a_worker_that_stopped_itself(client: Client, shared_kernel: Kernel) -> None:
    cell = client.begin(READY + "import os, signal; os.kill(os.getpid(), signal.SIGSTOP); 5")
    client.take(lambda m: m.type == "stream" and "stopped by a signal" in m.content["text"], "the note")
    os.kill(shared_kernel.pid, signal.SIGCONT)
    assert client.collect(cell, begun=True).text == "5"


# -- what whoever started us had ignored ---

CHILD = "!cat /proc/self/status"


def ignored_by(kernel: Kernel) -> set[int]:
    """In what a cell starts, as the system tells it; but for Python's own two."""
    text = kernel.client().ok(CHILD).stdout
    mask = int(next(line.split()[1] for line in text.splitlines() if line.startswith("SigIgn:")), 16)
    return {int(number) for number in signal.valid_signals() if mask >> (number - 1) & 1} - set(IGNORED_BY_PYTHON)


def ignore(numbers: Iterable[int]) -> Callable[[], None]:
    def act() -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)

    return act


def test_ignored_signals_stay_ignored(launch: Launch) -> None:
    """As by nohup. In cells and in what they start, but for what Jupyter and the kernel say by signals."""
    numbers = [number for number in CATCHABLE if number not in IGNORED_BY_PYTHON]
    kernel = launch(process={"preexec_fn": ignore([signal.SIGINT, *numbers])})
    faults = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT}
    kept = set(numbers) - {signal.SIGCHLD} - faults
    assert ignored_by(kernel) - faults == kept
    client = kernel.client()
    client.ok("import signal")
    known = "sorted(number for number in signal.valid_signals() if signal.getsignal(number) is signal.SIG_IGN)"
    assert set(client.evaluate(f"[*map(int, {known})]")) - faults == kept | set(IGNORED_BY_PYTHON)
    for number in sorted(kept):
        os.kill(kernel.pid, number)
    cell = client.begin(READY + "import time; time.sleep(60)")
    kernel.interrupt()
    assert client.collect(cell, begun=True).error["ename"] == "KeyboardInterrupt"


def test_ignored_signals_are_none_of_ours(launch: Launch) -> None:
    assert ignored_by(launch()) == set()


def test_ignored_sigchld_does_not_hide_how_the_worker_ended(launch: Launch) -> None:
    kernel = launch(process={"preexec_fn": ignore([signal.SIGCHLD])})
    client = kernel.client()
    assert client.evaluate("__import__('subprocess').run(['false']).returncode") == 1
    client.run("import os; os._exit(3)")
    assert kernel.wait_exit() == 3
