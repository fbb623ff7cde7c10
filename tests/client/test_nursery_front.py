# SPDX-License-Identifier: BSD-3-Clause
"""The kernel's side of a nursery: whatever that says or does not say, one worker is there and answers."""

import os
import pwd
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from select import select

import pytest
from launch import Kernel, command
from midwife import (
    ANSWER,
    CHANGED,
    CWD,
    FD_COUNT,
    FORKED,
    FULL,
    MAGIC,
    QUEUED,
    REFUSED,
    START,
    VERSION,
    Behaviour,
    Birth,
    Midwife,
)
from procs import time_until_gone
from raw import DEADLINE, Client

Launch = Callable[..., Kernel]
Nurse = Callable[[Behaviour], Midwife]


def bear(birth: Birth) -> None:
    """What a nursery does."""
    birth.say(QUEUED)
    birth.bear()


def refuse(birth: Birth) -> None:
    birth.say(REFUSED, reason=FULL)


def refuse_later(birth: Birth) -> None:
    birth.say(QUEUED)
    birth.say(REFUSED, reason=FULL)


def hang_up(birth: Birth) -> None:
    birth.close()


def hang_up_later(birth: Birth) -> None:
    birth.say(QUEUED)
    birth.close()


def say_nothing(birth: Birth) -> None:
    """Two seconds of it."""


def babble(birth: Birth) -> None:
    birth.connection.send(b"hello?")


def say_too_much(birth: Birth) -> None:
    birth.connection.send(ANSWER.pack(MAGIC, VERSION, QUEUED, birth.id, *[0] * 8) + b"\0")


def answer_somebody_else(birth: Birth) -> None:
    birth.id += 1
    birth.say(REFUSED, reason=FULL)


def bear_without_proof(birth: Birth) -> None:
    birth.say(QUEUED)
    birth.say(FORKED, birth.make().pid)


def bear_with_a_false_proof(birth: Birth) -> None:
    birth.say(QUEUED)
    worker = birth.make()
    pidfd = os.pidfd_open(os.getpid())
    birth.say(FORKED, worker.pid, fds=[pidfd])
    os.close(pidfd)


def bear_the_dead(birth: Birth) -> None:
    """It ends before it says anything but this."""
    birth.say(QUEUED)
    worker = birth.bear("/bin/sh", "-c", "echo nonsense; echo nonsense >&2; exit 70")
    birth.say(CHANGED, worker.pid, birth.reap(worker))


def bear_the_dead_in_silence(birth: Birth) -> None:
    birth.say(QUEUED)
    birth.bear("/bin/false")


def bear_a_babbler(birth: Birth) -> None:
    """What comes on the link is no frame."""
    birth.say(QUEUED)
    birth.bear("/bin/sh", "-c", "echo this is not a frame, whatever else it may be >&3; exec sleep 60")


def bear_twins(birth: Birth) -> None:
    birth.say(QUEUED)
    twins = birth.make(), birth.make()
    for twin in twins:
        birth.say(FORKED, twin.pid, fds=[twin.pidfd])


def bear_the_mute(birth: Birth) -> None:
    """Ten seconds of it."""
    birth.say(QUEUED)
    birth.bear("/bin/sleep", "60")


@pytest.fixture
def nurse(directory: Path) -> Iterator[Nurse]:
    """Opens a nursery of some behaviour; closed after the kernels, if it is asked for before `launch`."""
    opened: list[Midwife] = []

    def open_one(behaviour: Behaviour) -> Midwife:
        opened.append(Midwife(directory, behaviour))
        return opened[-1]

    yield open_one
    for midwife in opened:
        midwife.close()
    for midwife in opened:
        midwife.check()


def bear_the_devoted(birth: Birth) -> None:
    """It never says a word either, but minds its lifeline."""
    birth.say(QUEUED)
    birth.bear("/bin/sh", "-c", "exec cat <&6")


COLD: list[Behaviour] = [
    refuse,
    refuse_later,
    hang_up,
    hang_up_later,
    say_nothing,
    babble,
    say_too_much,
    answer_somebody_else,
    bear_without_proof,
    bear_with_a_false_proof,
    bear_the_dead,
    bear_the_dead_in_silence,
    bear_a_babbler,
    bear_twins,
    bear_the_mute,
]


def close(client: Client, kernel: Kernel) -> None:
    """An orderly end, after which nothing is left."""
    processes = kernel.processes()
    client.request("shutdown_request", {"restart": False}, channel="control")
    assert kernel.wait_exit() == 0
    time_until_gone(processes, DEADLINE)


@pytest.mark.parametrize("behaviour", COLD, ids=lambda behaviour: behaviour.__name__)
def test_nursery_cold_start_when_it_comes_to_nothing(nurse: Nurse, launch: Launch, behaviour: Behaviour) -> None:
    midwife = nurse(behaviour)
    kernel = launch(env=midwife.env)
    client = kernel.client()
    assert client.evaluate("1+1") == 2
    midwife.wait()
    assert len(midwife.births) == 1
    assert [process.name for process in kernel.processes()] == ["pupitre-kernel", "pupitre-worker"]
    time_until_gone(midwife.born, DEADLINE)
    assert "nonsense" not in kernel.output() and "error" not in kernel.output(), kernel.output()
    close(client, kernel)


def test_nursery_cold_start_is_logged_when_asked_for(nurse: Nurse, launch: Launch) -> None:
    midwife = nurse(refuse)
    kernel = launch(env=midwife.env, args=["-v"])
    assert 'event=cold reason="the nursery has as many kernels as it may"' in kernel.output()
    assert "start=cold" in kernel.output()


def test_nursery_is_not_asked_when_the_environment_is_special(nurse: Nurse, launch: Launch) -> None:
    midwife = nurse(bear)
    for name, value in (("PYTHONHASHSEED", "7"), ("PYTHONOPTIMIZE", "1"), ("OMP_NUM_THREADS", "2")):
        kernel = launch(env={**midwife.env, name: value}, args=["-v"])
        assert f"event=obstacle variable={name}\n" in kernel.output()
    assert not midwife.births


def test_nursery_is_not_asked_when_it_is_off(launch: Launch) -> None:
    kernel = launch(env={"PUPITRE_NURSERY": "off"}, args=["-v"])
    assert 'reason="no nursery listens"' in kernel.output()


def test_nursery_request(nurse: Nurse, launch: Launch) -> None:
    def look(birth: Birth) -> None:
        seen.append((birth.magic, birth.version, birth.op, len(birth.fds)))
        seen.append(os.readlink(f"/proc/self/fd/{birth.fds[CWD]}"))
        seen.append(birth.payload()[0])
        bear(birth)

    seen: list[object] = []
    midwife = nurse(look)
    kernel = launch(env={**midwife.env, "NAMED": "value"}, prefix=["sh", "-c", 'umask 027; exec "$@"', "sh"])
    assert seen == [(MAGIC, VERSION, START, FD_COUNT), str(kernel.directory), 0o027]
    client = kernel.client()
    assert client.evaluate("__import__('os').environ['NAMED']") == "value"
    assert midwife.wait().payload()[1][b"NAMED"] == b"value"


@pytest.fixture
def midwife(nurse: Nurse) -> Midwife:
    """A nursery that works."""
    return nurse(bear)


@pytest.fixture
def born(midwife: Midwife, launch: Launch) -> Kernel:
    """A kernel whose worker is not its child."""
    kernel = launch(env=midwife.env)
    midwife.wait()
    assert [process.name for process in kernel.processes()] == ["pupitre-kernel"]
    return kernel


def test_nursery_worker_answers(born: Kernel, midwife: Midwife) -> None:
    client = born.client()
    assert client.evaluate("__import__('os').getpid()") == midwife.born[0].pid
    assert client.run("print('text')").stdout == "text\n"
    assert client.run("import os; os.write(1, b'bytes\\n')").stdout == "bytes\n"
    client.request("shutdown_request", {"restart": False}, channel="control")
    assert born.wait_exit() == 0
    assert midwife.births[0].reap(midwife.born[0]) == 0
    midwife.births[0].wait_hang_up()


def test_nursery_worker_is_interrupted(born: Kernel) -> None:
    client = born.client()
    cell = client.begin("print('ready', flush=True)\nimport time; time.sleep(60)")
    born.interrupt()
    assert client.collect(cell, begun=True).error["ename"] == "KeyboardInterrupt"


def test_nursery_worker_gets_signals_of_the_front(born: Kernel) -> None:
    client = born.client()
    client.ok("import signal; signal.signal(signal.SIGUSR1, lambda *_: print('ouch', flush=True))")
    cell = client.begin("print('ready', flush=True)\nimport time\nwhile True: time.sleep(60)")
    born.signal(signal.SIGUSR1)
    assert "ouch" in client.recv("iopub", "stream", cell).content["text"]
    born.interrupt()
    assert client.collect(cell, begun=True).error["ename"] == "KeyboardInterrupt"


def test_nursery_worker_counts_as_usage(born: Kernel, midwife: Midwife) -> None:
    client = born.client()
    client.ok("block = bytearray(b'x' * (64 << 20))")
    usage = client.request("usage_request", {}, channel="control").content
    assert usage["pid"] == midwife.born[0].pid
    assert usage["kernel_memory"] > 64 << 20


def test_nursery_worker_stopped_and_continued(born: Kernel, midwife: Midwife) -> None:
    client = born.client()
    birth, worker = midwife.births[0], midwife.born[0]
    cell = client.begin("print('ready', flush=True)\nimport time; time.sleep(60)")
    os.kill(worker.pid, signal.SIGSTOP)
    birth.say(CHANGED, worker.pid, os.waitpid(worker.pid, os.WUNTRACED)[1])
    client.take(lambda m: m.type == "stream" and "stopped by a signal" in m.content["text"], "the notice")
    born.interrupt()  # lets it go on
    birth.say(CHANGED, worker.pid, os.waitpid(worker.pid, os.WCONTINUED)[1])
    assert client.collect(cell, begun=True).error["ename"] == "KeyboardInterrupt"


def test_nursery_worker_dies_and_the_nursery_tells_how(born: Kernel, midwife: Midwife) -> None:
    client = born.client()
    cell = client.begin("print('ready', flush=True)\nimport time; time.sleep(60)")
    birth, worker = midwife.births[0], midwife.born[0]
    os.kill(worker.pid, signal.SIGTERM)
    birth.say(CHANGED, worker.pid, birth.reap(worker))
    assert "SIGTERM" in client.collect(cell, begun=True).error["evalue"]
    assert born.wait_exit() == -signal.SIGTERM


def test_nursery_worker_ends_with_what_it_started(born: Kernel, midwife: Midwife) -> None:
    client = born.client()
    client.ok("import subprocess; child = subprocess.Popen(['sleep', '60'])")
    child = client.evaluate("child.pid")
    pidfd = os.pidfd_open(child)
    birth, worker = midwife.births[0], midwife.born[0]
    os.kill(worker.pid, signal.SIGKILL)
    birth.say(CHANGED, worker.pid, birth.reap(worker))
    assert born.wait_exit() == -signal.SIGKILL
    client.take(lambda m: m.type == "error", "the notice")
    assert select([pidfd], [], [], DEADLINE)[0]
    os.close(pidfd)


def test_nursery_is_gone_and_the_system_tells_how(born: Kernel, midwife: Midwife) -> None:
    """Linux 6.15 keeps the status of the reaped for whoever holds a pidfd."""
    client = born.client()
    birth, worker = midwife.births[0], midwife.born[0]
    birth.close()
    cell = client.begin("print('ready', flush=True)\nimport os, time; time.sleep(0.2); os._exit(3)")
    birth.reap(worker)
    text = client.collect(cell, begun=True).error["evalue"]
    release = tuple(int(part) for part in re.findall(r"\d+", os.uname().release)[:2])
    if release >= (6, 15):
        assert "exit status 3" in text
        assert born.wait_exit() == 3
    else:
        assert "nobody could tell how" in text
        assert born.wait_exit() == 1


def test_nursery_is_gone_and_nobody_can_tell(born: Kernel, midwife: Midwife) -> None:
    client = born.client()
    midwife.births[0].close()
    cell = client.begin("print('ready', flush=True)\nimport os; os._exit(3)")
    assert "nobody could tell how" in client.collect(cell, begun=True).error["evalue"]
    assert born.wait_exit() == 1


def test_nursery_is_gone_and_the_worker_left_a_note(born: Kernel, midwife: Midwife) -> None:
    client = born.client()
    midwife.births[0].close()
    cell = client.begin("print('ready', flush=True)\nimport ctypes; ctypes.string_at(0)")
    error = client.collect(cell, begun=True).error
    assert "segmentation fault" in error["evalue"] and "line 2" in error["evalue"]
    assert born.wait_exit() == 1


def test_nursery_is_gone_before_hello(nurse: Nurse, launch: Launch) -> None:
    """The worker that is there will do."""

    def bear_and_go(birth: Birth) -> None:
        bear(birth)
        birth.connection.close()

    midwife = nurse(bear_and_go)
    client = launch(env=midwife.env).client()
    assert client.evaluate("__import__('os').getpid()") == midwife.born[0].pid


def test_nursery_worker_dies_with_the_front(born: Kernel, midwife: Midwife) -> None:
    client = born.client()
    cell = client.begin("print('ready', flush=True)\nwhile True: pass")
    os.kill(born.pid, signal.SIGKILL)
    assert midwife.born[0].gone(DEADLINE)
    midwife.births[0].wait_hang_up()
    client.inbox = [message for message in client.inbox if message.parent_id != cell]


def queue(birth: Birth) -> None:
    """And then thirty seconds of silence."""
    birth.say(QUEUED)


def test_nursery_front_serves_while_it_waits(nurse: Nurse, launch: Launch) -> None:
    midwife = nurse(queue)
    kernel = launch(env=midwife.env, wait=False)
    birth = midwife.wait()
    client = kernel.client()
    assert client.heartbeat() < DEADLINE
    assert client.request("connect_request", {}, channel="control").status == "ok"
    assert client.request("interrupt_request", {}, channel="control").status == "ok"
    cell = client.execute("1+1")
    birth.bear()
    assert client.collect(cell).text == "2"


@pytest.mark.parametrize("stage", [say_nothing, queue, bear_the_devoted], ids=lambda stage: stage.__name__)
def test_nursery_shutdown_while_it_waits(nurse: Nurse, launch: Launch, stage: Behaviour) -> None:
    midwife = nurse(stage)
    kernel = launch(env=midwife.env, wait=False)
    birth = midwife.wait()
    client = kernel.client()
    begin = time.monotonic()
    assert client.request("shutdown_request", {"restart": False}, channel="control").status == "ok"
    assert kernel.wait_exit() == 0
    assert time.monotonic() - begin < 2
    birth.wait_hang_up()
    time_until_gone(midwife.born, DEADLINE)


@pytest.mark.parametrize("stage", [say_nothing, queue, bear_the_devoted], ids=lambda stage: stage.__name__)
def test_nursery_terminated_while_it_waits(nurse: Nurse, launch: Launch, stage: Behaviour) -> None:
    midwife = nurse(stage)
    kernel = launch(env=midwife.env, wait=False)
    birth = midwife.wait()
    kernel.signal(signal.SIGWINCH)  # there is nobody to pass it to
    kernel.signal(signal.SIGTERM)
    assert kernel.wait_exit() == -signal.SIGTERM
    birth.wait_hang_up()
    time_until_gone(midwife.born, DEADLINE)


def test_nursery_worker_that_comes_too_late_dies(nurse: Nurse, launch: Launch) -> None:
    """The kernel has given up; its lifeline has been cut."""

    def come_late(birth: Birth) -> None:
        birth.say(QUEUED)
        birth.wait_hang_up()
        birth.reap(birth.make())

    midwife = nurse(come_late)
    kernel = launch(env=midwife.env, wait=False)
    client = kernel.client()
    client.request("shutdown_request", {"restart": False}, channel="control")
    assert kernel.wait_exit() == 0
    midwife.wait()


NAME = pwd.getpwuid(os.geteuid()).pw_name


def ask(**env: str) -> tuple[int, str]:
    done = subprocess.run(
        [command()[0][0], "--ask-nursery"], env={**os.environ, **env}, capture_output=True, text=True, timeout=DEADLINE
    )
    assert not done.stderr
    return done.returncode, done.stdout


def test_nursery_question_without_a_nursery(directory: Path) -> None:
    expected = (1, f"no: kernels of {NAME} start the ordinary way: no nursery listens\n")
    assert ask(PUPITRE_NURSERY="off") == expected
    assert ask(PUPITRE_NURSERY=str(directory / "none")) == expected


def test_nursery_question_with_an_obstacle() -> None:
    status, line = ask(PYTHONHASHSEED="1")
    assert status == 1
    assert line.startswith(
        f"no: kernels of {NAME} start the ordinary way: PYTHONHASHSEED=1 is set, and a copied Python"
    )


def test_nursery_question_that_is_refused(nurse: Nurse) -> None:
    midwife = nurse(refuse)
    status, line = ask(**midwife.env)
    reason = f"the nursery has as many kernels as it may (the nursery at {midwife.path})"
    assert (status, line) == (1, f"no: kernels of {NAME} start the ordinary way: {reason}\n")
