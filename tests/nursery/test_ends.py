# SPDX-License-Identifier: BSD-3-Clause
"""Whoever dies at whatever moment of a launch: the kernel answers, if need be started cold; nobody is left behind."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from launch import Kernel
from nursery import AS_ROOT, DEADLINE, QUICK, Begin, Nursery, Start, born_in_nursery, started_cold
from procs import Process, children, program, time_until_gone
from raw import block

SECONDS = 5.0


@pytest.fixture
def quick(begin: Begin) -> Nursery:
    """A nursery that one may kill: with little in it, so that it is built in a moment."""
    return begin(*QUICK)


def kill(process: Process) -> None:
    signal.pidfd_send_signal(process.pidfd, signal.SIGKILL)


@contextmanager
def stopped(process: Process) -> Iterator[None]:
    """While it cannot do anything."""
    signal.pidfd_send_signal(process.pidfd, signal.SIGSTOP)
    wait_until(lambda: state(process.pid) in "Tt", f"{process} stopped")
    try:
        yield
    finally:
        try:
            signal.pidfd_send_signal(process.pidfd, signal.SIGCONT)
        except ProcessLookupError:
            pass


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def wait_until(right: Callable[[], bool], what: str) -> None:
    """Look again and again, for what /proc has no event for."""
    end = time.monotonic() + DEADLINE
    while not right():
        assert time.monotonic() < end, f"never {what}"


def answers(kernel: Kernel) -> None:
    """It is no stuck front: the question of whoever asks is answered, by one worker."""
    kernel.wait_ready()
    assert kernel.client().ok("1+1").text == "2"
    assert len([process for process in kernel.processes() if process.pid != kernel.pid]) == 1


def nobody_left(nursery: Nursery, template: Process) -> None:
    """The template has no child, living or dead, and nobody else has a worker of it."""
    wait_until(lambda: template.gone(0) or not children(template.pid), "without children")
    orphans = [
        int(entry.name)
        for entry in Path("/proc").glob("[0-9]*")
        if program(int(entry.name)) == "pupitre-template" and mine(entry, nursery)
    ]
    left = set(orphans) - {t.pid for t in nursery.status().templates} - {template.pid}
    assert left == set()


def mine(entry: Path, nursery: Nursery) -> bool:
    """Whether a process was forked by this nursery's templates, by their HOME."""
    try:
        return str(nursery.socket.with_suffix(".home")).encode() in (entry / "environ").read_bytes()
    except OSError:
        return False


def asking(kernel: Kernel, nursery: Nursery) -> bool:
    """Whether the front has connected to the nursery's socket."""
    return any("socket:" in link for link in links(kernel.pid)) and program(kernel.pid).startswith("pupitre-kernel")


def links(pid: int) -> list[str]:
    found = []
    for link in Path(f"/proc/{pid}/fd").glob("*"):
        try:
            found.append(os.readlink(link))
        except OSError:
            pass
    return found


def waits(kernel: Kernel) -> None:
    """Until the front has nothing to do but to wait."""
    wait_until(lambda: program(kernel.pid).startswith("pupitre-kernel") and state(kernel.pid) == "S", "waiting")


# -- before QUEUED: the listener does not answer ---


def test_ends_listener_hangs(quick: Nursery, start: Start) -> None:
    template = quick.template()
    with stopped(quick.listener()):
        kernel = start(quick, cold=True, wait=False)
        answers(kernel)
    quick.wait_status("quiet", lambda found: found.live == 0)
    nobody_left(quick, template)
    answers(start(quick))


def test_ends_listener_dies_while_asked(quick: Nursery, start: Start) -> None:
    template, listener = quick.template(), quick.listener()
    with stopped(listener):
        kernel = start(quick, cold=True, wait=False)
        waits(kernel)
        quick.kill()
    answers(kernel)
    assert template.gone(SECONDS)


def test_ends_front_dies_while_it_asks(quick: Nursery, start: Start) -> None:
    template = quick.template()
    with stopped(quick.listener()):
        kernel = start(quick, cold=True, wait=False)
        waits(kernel)
        os.kill(kernel.pid, signal.SIGKILL)
        kernel.wait_exit()
    quick.wait_status("quiet", lambda found: found.live == 0)
    nobody_left(quick, template)


# -- between QUEUED and FORKED: the template does not fork ---


def test_ends_template_dies_while_asked(quick: Nursery, start: Start) -> None:
    template = quick.template()
    with stopped(template):
        kernel = start(quick, cold=True, wait=False)
        waits(kernel)
        kill(template)
    answers(kernel)
    quick.wait_template(other_than=template.pid)
    answers(start(quick))


def test_ends_listener_dies_while_the_template_hangs(quick: Nursery, start: Start) -> None:
    template = quick.template()
    with stopped(template):
        kernel = start(quick, cold=True, wait=False)
        waits(kernel)
        quick.kill()
        answers(kernel)
    assert template.gone(SECONDS)


def test_ends_front_dies_before_the_fork(quick: Nursery, start: Start) -> None:
    """The order may be carried out all the same: the child finds nobody, and ends."""
    template = quick.template()
    with stopped(template):
        kernel = start(quick, cold=True, wait=False)
        waits(kernel)
        os.kill(kernel.pid, signal.SIGKILL)
        kernel.wait_exit()
    quick.wait_status("quiet", lambda found: found.live == 0)
    nobody_left(quick, template)
    answers(start(quick))


# -- between FORKED and HELLO: a configuration file of the user's keeps the worker there ---


class Held:
    """A kernel whose worker is forked and has not said HELLO; `worker` is that."""

    def __init__(self, start: Start, nursery: Nursery) -> None:
        self.kernel = start(nursery, cold=True, wait=False, prepare=self.prepare)
        self.reader = os.open(self.said, os.O_RDONLY | os.O_NONBLOCK)
        assert select.select([self.reader], [], [], DEADLINE)[0]
        self.worker = Process.open(int(os.read(self.reader, 100)))
        assert self.worker and program(self.worker.pid) == "pupitre-template"

    def prepare(self, home: Path) -> dict[str, object]:
        profile = home / "ipython/profile_default"
        profile.mkdir(parents=True)
        self.said, self.gate = home / "said", home / "gate"
        os.mkfifo(self.said)
        os.mkfifo(self.gate)
        self.keep = os.open(self.said, os.O_RDWR)  # or opening it would wait
        code = f"""
            import os
            if os.path.exists({str(self.gate)!r}):
                with open({str(self.said)!r}, 'w') as file:
                    file.write(str(os.getpid()))
                open({str(self.gate)!r}).read()
        """
        (profile / "ipython_config.py").write_text(block(code))
        return {}

    def open_gate(self) -> None:
        """Nobody is held any more."""
        self.gate.unlink()
        os.close(self.reader)
        os.close(self.keep)


@pytest.fixture
def held(quick: Nursery, start: Start) -> Iterator[Held]:
    held = Held(start, quick)
    yield held
    if held.gate.exists():
        held.open_gate()


def test_ends_worker_dies_before_hello(quick: Nursery, held: Held) -> None:
    held.open_gate()
    kill(held.worker)
    answers(held.kernel)
    nobody_left(quick, quick.template())


def test_ends_front_dies_before_hello(quick: Nursery, held: Held) -> None:
    os.kill(held.kernel.pid, signal.SIGKILL)
    assert held.worker.gone(SECONDS)
    nobody_left(quick, quick.template())


def test_ends_front_dies_before_hello_worker_stopped(quick: Nursery, held: Held) -> None:
    os.kill(held.worker.pid, signal.SIGSTOP)
    os.kill(held.kernel.pid, signal.SIGKILL)
    assert held.worker.gone(SECONDS)
    nobody_left(quick, quick.template())


def test_ends_template_dies_before_hello(quick: Nursery, held: Held) -> None:
    """The worker is there, and needs no template: it may serve, or be given up; one answers."""
    kill(quick.template())
    gate = os.open(held.gate, os.O_WRONLY)
    held.open_gate()
    os.close(gate)
    answers(held.kernel)


def test_ends_listener_dies_before_hello(quick: Nursery, held: Held) -> None:
    template = quick.template()
    quick.kill()
    gate = os.open(held.gate, os.O_WRONLY)
    held.open_gate()
    os.close(gate)
    answers(held.kernel)
    held.kernel.close()
    assert template.gone(SECONDS)


# -- a worker that runs ---


def test_ends_front_killed_takes_the_worker_with_it(bare: Nursery, start: Start) -> None:
    kernel = start(bare)
    client = kernel.client()
    client.begin(
        "import subprocess; p = subprocess.Popen(['sleep', '60']); print('ready', flush=True)\nwhile True: pass"
    )
    wait_until(lambda: len(kernel.processes()) == 3, "three processes")
    processes = kernel.processes()
    os.kill(kernel.pid, signal.SIGKILL)
    print(f"gone after {time_until_gone(processes, SECONDS) * 1000:.1f} ms")
    client.drain()
    bare.wait_empty()


def test_ends_stopped_worker_dies_with_its_front(bare: Nursery, start: Start) -> None:
    """SIGSTOP, then the front is gone: its lifeline cannot be heard by a stopped process."""
    kernel = start(bare)
    worker = born_in_nursery(kernel)
    os.kill(worker.pid, signal.SIGSTOP)
    wait_until(lambda: state(worker.pid) == "T", "stopped")
    os.kill(kernel.pid, signal.SIGKILL)
    assert worker.gone(SECONDS)
    bare.wait_empty()


DEATHS = {
    "segmentation fault": ("import ctypes; ctypes.string_at(0)", "segmentation fault", -signal.SIGSEGV),
    "exit 3": ("import os; os._exit(3)", "3", 3),
    "SIGKILL": ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL", -signal.SIGKILL),
}


@pytest.mark.parametrize("name", DEATHS)
@pytest.mark.parametrize("whole", [True, False], ids=["", "without listener"])
def test_ends_worker_and_the_notice_says_how(quick: Nursery, start: Start, name: str, whole: bool) -> None:
    """Signal or status come from the template; without a listener to hand it on, the notice still comes."""
    code, words, status = DEATHS[name]
    kernel = start(quick)
    client = kernel.client()
    cell = client.begin("print('ready', flush=True)\n" + code.replace("; ", "; input_ = 1; ", 1))
    if not whole:
        quick.kill()
    result = client.collect(cell, begun=True)
    assert result.status == "error" and result.error["ename"] == "KernelDied"
    if whole:
        assert words.lower() in result.error["evalue"].lower()
        assert kernel.wait_exit() == status
    else:
        kernel.wait_exit()


def test_ends_interrupt_and_restart(bare: Nursery, start: Start) -> None:
    kernel = start(bare)
    client = kernel.client()
    cell = client.begin("import time; print('ready', flush=True)\ntime.sleep(60)")
    kernel.interrupt()
    assert client.collect(cell, begun=True).content["ename"] == "KeyboardInterrupt"
    assert client.ok("1+1").text == "2"
    client.recv_reply(client.send("shutdown_request", {"restart": True}, channel="control"))
    assert kernel.wait_exit() == 0
    bare.wait_empty()
    born_in_nursery(start(bare))


def test_ends_interrupt_of_a_finaliser_at_rest(bare: Nursery, start: Start) -> None:
    """The worker collects garbage while its student pauses: what hangs there can be stopped, and costs no cell."""
    kernel = start(bare)
    client = kernel.client()
    client.ok(
        block("""
        import gc, time
        gc.collect()
        get_ipython().kernel.resting.seconds = 0.05
        class Slow:
            def __del__(self):
                open('begun', 'w').close()
                time.sleep(60)
        slow = Slow()
        slow.itself = slow
        del slow
    """)
    )
    wait_until((kernel.directory / "begun").exists, "the finaliser runs")
    cell = client.execute("1+1")
    kernel.interrupt()
    assert client.collect(cell).text == "2"


@pytest.mark.long
def test_ends_kernels_survive_fifty_listeners(begin: Begin, start: Start) -> None:
    """KILL of the listener, as often as one likes: running kernels do not notice."""
    count = int(os.environ.get("PUPITRE_NURSERY_KERNELS", "30"))
    nursery = begin(*QUICK)
    kernels = [start(nursery, wait=False, cold=True) for _ in range(count)]
    clients = [kernel.client() for kernel in kernels]
    for number, (kernel, client) in enumerate(zip(kernels, clients, strict=True)):
        client.ok(f"mine = {number}")
        born_in_nursery(kernel)
    for kill_number in range(50):
        nursery.kill()
        nursery.again()
        if kill_number % 10 == 0:
            nursery.wait_ready()
        for number, client in enumerate(clients):
            msg_id = client.execute("mine", silent=False)
            assert client.collect(msg_id).text == str(number)
    nursery.wait_ready()
    born_in_nursery(start(nursery))
    for kernel in kernels:
        assert not kernel.dead()
        kernel.close()
    for process in nursery.ended:
        if process.pid != nursery.template().pid and program(process.pid) == "pupitre-template":
            assert process.gone(SECONDS), f"{process} is left of a listener that was killed"


# -- killed at each step: strace kills the child when it calls what it does between fork and HELLO ---

STEPS = ["setsid", "prlimit64", "dup2", "dup3", "close_range", "fchdir", "umask", "prctl",
         "sendmsg", "epoll_create1", "rt_sigaction", "getrandom"]  # fmt: skip
STEPS_OF_ROOT = ["setgroups", "setresgid", "setresuid", "capset", "keyctl"]


@pytest.mark.parametrize("call", STEPS)
@pytest.mark.parametrize("bare", ["user"], indirect=True)
def test_ends_child_killed_at(bare: Nursery, start: Start, call: str) -> None:
    check_step(bare, start, call, "signal=KILL")


if AS_ROOT:

    @pytest.mark.parametrize("call", [*STEPS, *STEPS_OF_ROOT])
    @pytest.mark.parametrize("bare", ["system"], indirect=True)
    def test_ends_child_of_root_killed_at(bare: Nursery, start: Start, call: str) -> None:
        check_step(bare, start, call, "signal=KILL")

    @pytest.mark.parametrize("call", ["setsid", "prlimit64", "setgroups", "setresgid", "setresuid", "fchdir", "keyctl"])
    @pytest.mark.parametrize("bare", ["system"], indirect=True)
    def test_ends_child_of_root_that_cannot(bare: Nursery, start: Start, call: str) -> None:
        """What fails is not passed over: a worker that is not wholly its user's ends."""
        check_step(bare, start, call, "error=EPERM")


def check_step(nursery: Nursery, start: Start, call: str, action: str) -> None:
    """strace attached to the template makes this happen at each such call of its children."""
    nursery.wait_template()
    template = nursery.template()
    words = ["strace", "-f", "-qq", "-e", f"trace={call}", "-e", f"inject={call}:{action}", "-p", str(template.pid)]
    log = Path(nursery.log.name).with_name("strace")
    with log.open("w+b") as output, subprocess.Popen([*words, "-o", str(log)], stderr=output) as tracer:
        try:
            wait_until(lambda: re.search(r"TracerPid:\s*[1-9]", status_of(template)) is not None, "traced")
            kernel = start(nursery, cold=True, wait=False)
            answers(kernel)
        finally:
            tracer.terminate()
            tracer.wait(DEADLINE)
    assert call in log.read_text(), f"no child calls {call}"
    started_cold(kernel)
    kernel.close()
    nobody_left(nursery, template)


def status_of(process: Process) -> str:
    return Path(f"/proc/{process.pid}/status").read_text()
