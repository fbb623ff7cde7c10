# SPDX-License-Identifier: BSD-3-Clause
"""What an ordinary user can make root wait for, believe or do: nothing that anybody else notices."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from listener import Front, Listener, descriptors, eventually, has_ended
from messages import ANSWER, DEADLINE, Op, receive
from people import ALICE, BOB, Other, become, libc, must, run_as
from pupitre.nursery import glance

USHERS_MAX = 4  # kernel/nursery/listener/listener.h
WAITING_MAX = 64  # kernel/nursery/listener/policy.h
PLACE_DEADLINE = 10  # seconds: kernel/nursery/listener/listener.h
CLONE_NEWUSER = 0x10000000


@pytest.fixture
def deaf(folder: Path) -> Iterator[Path]:
    """A file that is never closed to the end."""
    mount = folder / "deaf"
    mount.mkdir()
    command = ["/usr/bin/python3", str(Path(__file__).with_name("deaf_fuse.py")), str(mount)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None and server.stdout.readline() == b"mounted\n"
        yield mount / "file"
        server.kill()
        subprocess.run(["umount", "-l", str(mount)], check=True)


def hang_in_exec(deaf: Path) -> None:
    """Become a process that is in execve, where it closes a file for ever. It may be looked at in part only."""
    os.open(deaf, os.O_RDONLY | os.O_CLOEXEC)
    os.execv("/bin/true", ["true"])


def closings(deaf: Path) -> int:
    """How many wait for a closing."""
    return len(Path(f"{deaf.parent}.closed").read_text()) if Path(f"{deaf.parent}.closed").exists() else 0


def ask_and_hang(path: Path, deaf: Path, uid: int) -> tuple[int, int]:
    """A caller that hangs in execve when its request comes, which its child sends: its pid, a pipe with the outcome."""
    read, write = os.pipe()
    before = closings(deaf)
    pid = os.fork()
    if pid != 0:
        os.close(write)
        eventually(lambda: closings(deaf) > before, "it hangs")
        return pid, read
    with contextlib.suppress(BaseException):
        become(uid)
        front = Front(path)
        if os.fork() != 0:
            hang_in_exec(deaf)
        eventually(lambda: closings(deaf) > before)
        try:
            front.request()
            answer = front.answer()
        except ConnectionError:  # before it was heard
            answer = None
        os.write(write, b"hung up" if answer is None else answer.op.name.encode())
    os._exit(0)


def served(listener: Listener, uid: int) -> bool:
    return bool(run_as(uid, lambda: listener.front().start().pid > 0))


def children(listener: Listener) -> list[int]:
    pid = listener.process.pid
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_callers_that_hang_in_exec(system: Listener, deaf: Path) -> None:
    """They get nothing, hold up nobody else, and only a few processes hang with them; later they are served again."""
    callers = [ask_and_hang(system.path, deaf, ALICE) for _ in range(USHERS_MAX + 3)]
    assert served(system, BOB)
    for _, read in callers:
        assert os.read(read, 100) == b"hung up"
        eventually(lambda: len(children(system)) <= 1 + USHERS_MAX, "few hang")
        os.close(read)
    assert served(system, BOB)
    assert served(system, ALICE)
    for pid, _ in callers:
        os.kill(pid, signal.SIGKILL)


def send_deaf(path: Path, deaf: Path) -> None:
    """From another process, which waits for it itself when it closes it."""
    if os.fork() == 0:
        with contextlib.suppress(BaseException):
            become(ALICE)
            file = os.open(deaf, os.O_RDONLY)
            with Front(path) as front, descriptors() as whole:
                front.request(fds=[file, *whole[1:]])
                front.refusal()
        os._exit(0)


def test_descriptors_that_are_never_closed(system: Listener, deaf: Path) -> None:
    """Who closes them has nothing else: at the listener's end nobody listens any more, and its template ends."""
    for _ in range(3):
        send_deaf(system.path, deaf)
    eventually(lambda: closings(deaf))
    eventually(lambda: system.status().refused.get("BAD_REQUEST") == 3)
    assert served(system, BOB)
    pidfd = os.pidfd_open(system.status().templates[0][0])
    system.process.kill()
    system.process.wait(DEADLINE)
    with pytest.raises(ConnectionRefusedError):
        system.front()
    assert has_ended(pidfd)
    os.close(pidfd)


def test_files_left_in_connections_that_nobody_heard(system: Listener, deaf: Path) -> None:
    """Closing the connections releases them, and waits for nobody."""
    done = system.folder / "done"
    system.folder.chmod(0o777)
    os.kill(system.process.pid, signal.SIGSTOP)
    if os.fork() == 0:
        with contextlib.suppress(BaseException):
            become(ALICE)
            file = os.open(deaf, os.O_RDONLY)
            for _ in range(WAITING_MAX * 2):
                front = Front(system.path)
                socket.send_fds(front.sock, [b"x"], [file])
                socket.send_fds(front.sock, [b"x"], [file])
                front.close()
            done.touch()
        os._exit(0)
    eventually(done.exists)
    os.kill(system.process.pid, signal.SIGCONT)
    for _ in range(3):
        assert served(system, BOB)


def test_status_of_a_worker_that_hangs_in_exec(system: Listener, deaf: Path) -> None:
    """Its row says so, those of others have their memory."""
    with contextlib.ExitStack() as stack:

        def start(uid: int) -> Other:
            def act(wait: Callable[[], None]) -> int:
                with system.front() as front:
                    front.start()
                    os.write(ready, b"x")
                    wait()
                    return front.pid

            told, ready = os.pipe()
            person = Other(lambda: become(uid), act)
            assert os.read(told, 1) == b"x"
            os.close(told)
            os.close(ready)
            stack.callback(person.result)
            stack.callback(person.go)
            return person

        start(BOB)
        system.behave(f"exec-{ALICE}", str(deaf))
        start(ALICE)
        eventually(lambda: closings(deaf), "the worker hangs")
        command = [sys.executable, "-m", "pupitre.cli", "nursery", "status", "--socket", str(system.path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE)
        assert done.returncode == 0, done.stdout + done.stderr
        rows = {line.split()[0]: line for line in done.stdout.splitlines() if line.startswith(" " * 11)}
        assert glance.SILENT in rows[str(ALICE)] and glance.SILENT not in rows[str(BOB)], done.stdout


def test_only_what_its_user_may_kill_is_killed(system: Listener) -> None:
    """A front that goes takes its worker with it, but no set-user-id program."""
    for kind in ("root-in-group", "set-uid"):
        system.behave(kind)

        def act() -> int:
            with system.front() as front:
                return front.start().pid

        pid = run_as(ALICE, act)
        if kind == "set-uid":
            eventually(lambda: system.status().live == 1)
            assert served(system, BOB)
            assert Path(f"/proc/{pid}").exists()
            os.kill(pid, signal.SIGKILL)
        else:
            with contextlib.suppress(ProcessLookupError):  # it may have ended by now
                worker = os.pidfd_open(pid)
                assert has_ended(worker)
                os.close(worker)
            member = eventually(lambda: system.events("of root"))[0]["member"]
            assert Path(f"/proc/{member}").exists()
            os.kill(member, signal.SIGKILL)
        system.forget(kind)


@pytest.mark.timeout(60)
def test_worker_that_does_not_become_its_users(system: Listener) -> None:
    """Its caller's cgroup may be frozen: after a while it is killed, and hangs on to nothing."""
    system.behave("unplaced")

    def act() -> bool:
        with system.front() as front:
            front.start()
            return has_ended(front.pidfd, PLACE_DEADLINE + DEADLINE)

    assert run_as(ALICE, act)
    assert "event=worker_hangs" in system.log()
    eventually(lambda: system.status().live == 0)


def waiting_bytes(front: Front) -> int:
    """How many there are to be read."""
    size = 0
    with contextlib.suppress(BlockingIOError, ConnectionResetError):
        front.sock.setblocking(False)
        while data := front.sock.recv(65536):
            size += len(data)
    return size


def test_answers_that_are_never_read(system: Listener) -> None:
    """Each user may have so much of them and no more; once they are read there is room again."""

    def act(wait: Callable[[], None]) -> tuple[int, str]:
        fronts = []
        for number in range(WAITING_MAX * 5):
            front = Front(system.path)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                front.request(Op.STATUS if number % 2 else Op.DRAIN)
            fronts.append(front)
        system.behave("asked")
        wait()
        answered = sum(waiting_bytes(front) > 0 for front in fronts)
        return answered, eventually(starts)

    def starts() -> bool:
        """Not if the listener has yet to see what was read."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            return system.front().start().pid > 0
        return False

    system.folder.chmod(0o777)
    alice = Other(lambda: become(ALICE), act)
    eventually((system.folder / "asked").exists)
    assert served(system, BOB)
    alice.go()
    answered, is_served = alice.result()
    assert 0 < answered <= WAITING_MAX and is_served


def test_status_of_many_comes_at_once(folder: Path) -> None:
    """However slowly it is read, it is as it was when it was asked for."""
    with Listener(folder) as listener, contextlib.ExitStack() as stack:
        with contextlib.ExitStack() as kernels:
            pids = {kernels.enter_context(listener.started()).pid for _ in range(150)}
            slow = stack.enter_context(listener.front())
            slow.request(Op.STATUS)
            assert {pid for pid, *_ in listener.status().rows} == pids
        eventually(lambda: listener.status().live == 0)
        assert {pid for pid, *_ in listener.read_status(slow).rows} == pids


def test_status_counts_as_a_start(folder: Path) -> None:
    with Listener(folder, "--burst", "4", system=True) as listener:

        def ask() -> list[str]:
            names = []
            for _ in range(12):
                with listener.front() as front:
                    front.request(Op.STATUS)
                    data = receive(front.sock)[0]
                    names.append("refused" if len(data) == ANSWER.size else "told")
            return names

        names = run_as(ALICE, ask)
        assert names[:4] == ["told"] * 4 and "refused" in names
        assert listener.status().refused == {"TOO_MANY": names.count("refused")}


@pytest.mark.parametrize("in_namespace", [False, True])
def test_many_numbers_of_one_user(folder: Path, in_namespace: bool) -> None:
    """Subordinate uids, and those of another user namespace, have the places of one user in all."""

    def change(uid: int) -> Callable[[], None]:
        def act() -> None:
            become(uid)
            if in_namespace:
                must(libc.unshare(CLONE_NEWUSER))

        return act

    first = 30000 if in_namespace else 100000
    with Listener(folder, system=True) as listener:
        listener.folder.chmod(0o777)

        def crowd(uid: int) -> Other:
            def act(wait: Callable[[], None]) -> int:
                fronts = [Front(listener.path) for _ in range(WAITING_MAX // 2)]
                listener.behave(f"there-{uid}")
                hung_up = 0
                for front in fronts:
                    front.sock.settimeout(DEADLINE)
                    with contextlib.suppress(ConnectionResetError):
                        hung_up += front.answer() is None
                return hung_up

            return Other(change(uid), act)

        os.kill(listener.process.pid, signal.SIGSTOP)
        people = [crowd(first + i) for i in range(8)]
        for i in range(8):
            eventually((folder / f"there-{first + i}").exists)
        before = listener.fds()
        os.kill(listener.process.pid, signal.SIGCONT)
        assert served(listener, BOB)
        assert listener.fds() <= before + 2 * WAITING_MAX + 16  # each with a pidfd
        for person in people:
            assert person.result() == WAITING_MAX // 2
