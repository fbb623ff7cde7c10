# SPDX-License-Identifier: BSD-3-Clause
"""What strangers say: requests good and bad, hang-ups at every stage, limits, turns."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from listener import Front, Listener, descriptors, eventually, has_ended
from messages import BUILD, DEADLINE, FDS, Op, receive, send
from people import ALICE, BOB, Other, become, run_as

USHERS_MAX = 4  # kernel/nursery/listener/listener.h
GARBAGE: dict[str, tuple[dict[str, Any], str]] = {
    "magic": ({"magic": 0}, "BAD_REQUEST"),
    "version": ({"version": 2}, "BAD_BUILD"),
    "build": ({"build": b"9.9.9/1"}, "BAD_BUILD"),
    "build not padded": ({"build": BUILD + b"\0x"}, "BAD_BUILD"),
    "reserved": ({"note": bytes(31) + b"x"}, "BAD_REQUEST"),
    "short": ({"size": 127}, "BAD_REQUEST"),
    "long": ({"size": 129}, "BAD_REQUEST"),
    "huge": ({"size": 60000}, "BAD_REQUEST"),
    "one byte": ({"size": 1}, "BAD_REQUEST"),
    "an answer": ({"op": Op.FORKED}, "BAD_REQUEST"),
    "an order": ({"op": Op.FORK}, "BAD_REQUEST"),
    "nothing": ({"op": 0}, "BAD_REQUEST"),
    "status with descriptors": ({"op": Op.STATUS, "fds": FDS}, "BAD_REQUEST"),
    "other python": ({"python": "/bin/sh"}, "OTHER_PYTHON"),
}


def rests(listener: Listener, before: int) -> None:
    """As many descriptors as before, once it is through with what it does."""
    eventually(lambda: listener.fds() == before, f"{before} descriptors")


def test_start_to_end(per_user: Listener) -> None:
    with per_user.front() as front:
        front.request(ident=2**64 - 1)
        queued = front.expect(Op.QUEUED)
        forked = front.expect(Op.FORKED)
        assert queued.id == forked.id == 2**64 - 1
        order = per_user.events("order")[-1]
        assert order["caller"] == os.getpid() and order["keep_identity"] == 1 and order["cgroup_count"] == 0
        kinds = [name.split(":")[0].split("[")[0] for name in order["fds"]]
        folder = os.getcwd()
        assert kinds == [
            "pipe",
            "pipe",
            "socket",
            "anon_inode",
            "/memfd",
            "socket",
            "/memfd",
            "socket",
            "/memfd",
            folder,
        ]
        os.kill(front.pid, signal.SIGUSR1)
        end = front.expect(Op.CHANGED)
        assert (end.pid, os.waitstatus_to_exitcode(end.status)) == (front.pid, 7)
        assert end.peak_kib > 1000
        assert front.answer() is None and has_ended(front.pidfd)


def test_stop_and_go_on_are_told(per_user: Listener) -> None:
    with per_user.started() as front:
        os.kill(front.pid, signal.SIGSTOP)
        assert os.WIFSTOPPED(front.expect(Op.CHANGED).status)
        assert per_user.status().rows == [(front.pid, os.geteuid(), 1)]
        os.kill(front.pid, signal.SIGCONT)
        assert os.WIFCONTINUED(front.expect(Op.CHANGED).status)
        assert per_user.status().rows == [(front.pid, os.geteuid(), 0)]
        os.kill(front.pid, signal.SIGKILL)
        assert os.WTERMSIG(front.expect(Op.CHANGED).status) == signal.SIGKILL


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage(per_user: Listener, name: str) -> None:
    fields, reason = GARBAGE[name]
    before = per_user.fds()
    with per_user.front() as front:
        front.request(**fields)
        assert front.refusal() == reason
    assert per_user.events("order") == []
    rests(per_user, before)
    assert per_user.status().refused == {reason: 1}


def test_garbage_leaks_nothing(per_user: Listener) -> None:
    """1,100 requests with ten good descriptors each."""
    before = per_user.fds()
    names = [name for name in GARBAGE if name != "status with descriptors"]
    for i in range(1100):
        fields, reason = GARBAGE[names[i % len(names)]]
        with per_user.front() as front:
            front.request(**{"fds": FDS, **fields} if "op" not in fields else fields)
            assert front.refusal() == reason
    rests(per_user, before)
    assert per_user.status().refusals == 1100
    with per_user.started():
        pass


@pytest.mark.parametrize("count", [0, 1, 9, 11, 26, 27, 28, 60])
def test_number_of_descriptors(per_user: Listener, count: int) -> None:
    before = per_user.fds()
    with per_user.front() as front:
        with descriptors() as whole:
            front.request(fds=(whole * 8)[:count])
        assert front.refusal() == "BAD_REQUEST"
    rests(per_user, before)


def odd_descriptor(kind: str, stack: contextlib.ExitStack) -> int:
    if kind == "tcp":
        return stack.enter_context(socket.socket()).fileno()
    path = {"file": "/etc/passwd", "directory": "/", "device": "/dev/null"}[kind]
    fd = os.open(path, os.O_RDONLY)
    stack.callback(os.close, fd)
    return fd


@pytest.mark.parametrize("kind", ["tcp", "file", "directory", "device"])
@pytest.mark.parametrize("place", range(FDS))
def test_kind_of_descriptors(per_user: Listener, place: int, kind: str) -> None:
    """Closing such may wait for whoever sent it."""
    before = per_user.fds()
    with contextlib.ExitStack() as stack, per_user.front() as front:
        whole = list(stack.enter_context(descriptors()))
        whole[place] = odd_descriptor(kind, stack)
        front.request(fds=whole)
        assert front.refusal() == "BAD_REQUEST"
    rests(per_user, before)


def hung_up(front: Front) -> bool:
    """Whether nothing but the end comes."""
    try:
        return front.answer() is None
    except ConnectionResetError:
        return True


def lingering() -> tuple[socket.socket, socket.socket]:
    """A TCP connection whose closing waits for half a minute, and its other end."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(server.getsockname())
        far, _ = server.accept()
    near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 30))
    near.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            near.send(bytes(65536))
    return near, far


@pytest.mark.parametrize("read", [True, False])
def test_descriptors_that_linger(system: Listener, read: bool) -> None:
    """Neither received nor left unread do they keep others waiting: whoever closes them last would."""

    def attack() -> list[socket.socket]:
        others = []
        for _ in range(20):
            near, far = lingering()
            front = Front(system.path)
            others.append(far)
            if not read:  # two datagrams: the second is never received
                front.request(magic=0)
            send(front.sock, b"x", [near.fileno()])
            front.close()
            near.close()
        return others

    os.kill(system.process.pid, signal.SIGSTOP)  # so that all of it waits for the listener
    done = system.folder / "done"
    system.folder.chmod(0o777)

    def act(wait: Callable[[], None]) -> None:
        others = attack()
        done.touch()
        wait()
        assert len(others) == 20

    attacker = Other(lambda: become(ALICE), act)
    eventually(done.exists)
    os.kill(system.process.pid, signal.SIGCONT)
    for _ in range(3):
        assert run_as(BOB, lambda: system.front().start().pid > 0)
    attacker.go()
    attacker.result()


def test_says_nothing(per_user: Listener) -> None:
    before = per_user.fds()
    with per_user.front() as front:
        assert front.answer() is None
    rests(per_user, before)


def test_empty_datagram_with_descriptors(per_user: Listener) -> None:
    before = per_user.fds()
    with per_user.front() as front, descriptors() as whole:
        send(front.sock, b"", whole)
        assert front.answer() is None
    rests(per_user, before)


def test_speaks_twice(per_user: Listener) -> None:
    """After its request nothing can be put into its connection, and what it had put there already is not heard."""
    with per_user.front() as front:
        os.kill(per_user.process.pid, signal.SIGSTOP)
        front.request()
        front.request()
        os.kill(per_user.process.pid, signal.SIGCONT)
        front.expect(Op.QUEUED)
        front.expect(Op.FORKED)
        with pytest.raises(BrokenPipeError):
            front.request()
        os.kill(front.pid, signal.SIGUSR1)
        front.expect(Op.CHANGED)
    assert len(per_user.events("order")) == 1
    eventually(lambda: per_user.status().live == 0)


def test_hangs_up_before_it_spoke(per_user: Listener) -> None:
    before = per_user.fds()
    for _ in range(200):
        per_user.front().close()
    rests(per_user, before)


def test_hangs_up_while_queued(per_user: Listener) -> None:
    """There is never an order for it."""
    before = per_user.fds()
    per_user.hold()
    with per_user.front() as first, per_user.front() as second, per_user.front() as third:
        for front in (first, second, third):
            front.request()
            front.expect(Op.QUEUED)
        second.close()
        eventually(lambda: per_user.status().live == 2)
        per_user.let_go()
        first.expect(Op.FORKED)
        third.expect(Op.FORKED)
    assert len(per_user.events("order")) == 2
    rests(per_user, before)


def test_hangs_up_while_ordered(per_user: Listener) -> None:
    """The worker that comes all the same is killed."""
    before = per_user.fds()
    per_user.hold()
    with per_user.front() as front:
        front.request()
        front.expect(Op.QUEUED)
        eventually(lambda: per_user.events("held"))
    per_user.let_go()
    worker = eventually(lambda: per_user.events("forked"))[0]["worker"]
    eventually(lambda: not Path(f"/proc/{worker}").exists())
    eventually(lambda: per_user.status().live == 0)
    rests(per_user, before)


@pytest.mark.parametrize("stopped", [False, True])
def test_hangs_up_while_its_worker_lives(per_user: Listener, stopped: bool) -> None:
    before = per_user.fds()
    front = per_user.front().start()
    pidfd, front.pidfd = front.pidfd, -1
    if stopped:
        os.kill(front.pid, signal.SIGSTOP)
        front.expect(Op.CHANGED)
    front.close()
    assert has_ended(pidfd)
    os.close(pidfd)
    eventually(lambda: per_user.status().live == 0)
    rests(per_user, before)


def test_shuts_down_half(per_user: Listener) -> None:
    """It has nothing more to say anyway."""
    with per_user.started() as front:
        front.sock.shutdown(socket.SHUT_WR)
        os.kill(front.pid, signal.SIGUSR1)
        front.expect(Op.CHANGED)


def test_does_not_read_changes(per_user: Listener) -> None:
    """Others are served, and it is told how it ended by its pidfd."""
    with per_user.started() as deaf, per_user.started() as other:
        for _ in range(400):
            os.kill(deaf.pid, signal.SIGSTOP)
            eventually(lambda: "\nState:\tT" in Path(f"/proc/{deaf.pid}/status").read_text())
            os.kill(deaf.pid, signal.SIGCONT)
        os.kill(deaf.pid, signal.SIGUSR1)
        assert has_ended(deaf.pidfd)
        os.kill(other.pid, signal.SIGUSR1)
        other.expect(Op.CHANGED)


def test_does_not_read_its_status(per_user: Listener) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(60):
            stack.enter_context(per_user.front()).request(Op.STATUS)
        stack.enter_context(per_user.started())


def test_three_hundred_at_once(per_user: Listener) -> None:
    before = per_user.fds()
    with contextlib.ExitStack() as stack:
        fronts = []
        for _ in range(300):
            front = stack.enter_context(per_user.front())
            front.sock.settimeout(DEADLINE * 6)
            front.request()
            fronts.append(front)
        for front in fronts:
            front.expect(Op.QUEUED)
        for front in fronts:
            front.expect(Op.FORKED)
        assert len({front.pid for front in fronts}) == 300
        status = per_user.status()
        assert status.live == status.forks == 300
        assert {pid for pid, *_ in status.rows} == {front.pid for front in fronts}
        assert set(status.fork_us) == {1234}
    eventually(lambda: per_user.status().live == 0)
    rests(per_user, before)


def test_not_ready_yet(folder: Path) -> None:
    os.mkfifo(folder / "slow")
    with Listener(folder, ready=False) as listener:
        eventually(lambda: listener.path.exists() and listener.events("start"))
        with listener.front() as front:
            front.request()
            assert front.refusal() == "NOT_READY"
        assert [state for _, state, *_ in listener.status().templates] == [1]
        (folder / "slow").write_bytes(b"x")
        listener.wait_ready()
        with listener.started():
            pass


def test_limit_per_user(folder: Path) -> None:
    with Listener(folder, "--max-per-user", "2") as listener, listener.started() as first, listener.started():
        with listener.front() as third:
            third.request()
            assert third.refusal() == "TOO_MANY"
        first.close()
        eventually(lambda: listener.status().live == 1)
        with listener.started():
            pass


def test_limit_of_all(folder: Path) -> None:
    with Listener(folder, "--max-total", "1") as listener, listener.started(), listener.front() as second:
        second.request()
        assert second.refusal() == "FULL"


def test_limit_of_frequency(folder: Path) -> None:
    with Listener(folder, "--burst", "4") as listener:
        reasons = []
        for _ in range(12):
            with listener.front() as front:
                front.request()
                answer = front.answer()
                assert answer is not None
                reasons.append(answer.op)
        assert reasons[:4] == [Op.QUEUED] * 4 and Op.REFUSED in reasons
        assert set(listener.status().refused) == {"TOO_MANY"}


def test_users_take_turns(system: Listener) -> None:
    """Bob's one comes second, however many Alice asked for before; of hers four at a time are looked at."""
    system.hold()

    def crowd(count: int) -> Other:
        def act(wait: Any) -> list[int]:
            fronts = [Front(system.path) for _ in range(count)]
            for front in fronts:
                front.request()
            for front in fronts[:USHERS_MAX]:
                front.expect(Op.QUEUED)
            system.behave(f"queued-{os.getuid()}")
            for front in fronts[USHERS_MAX:]:
                front.expect(Op.QUEUED)
            return [front.expect(Op.FORKED).pid for front in fronts]

        return Other(lambda: become(ALICE if count > 1 else BOB), act)

    system.folder.chmod(0o777)
    alice = crowd(20)
    eventually((system.folder / f"queued-{ALICE}").exists)
    bob = crowd(1)
    eventually((system.folder / f"queued-{BOB}").exists)
    system.let_go()
    assert len(set(alice.result())) == 20
    bob.result()
    uids = [event["uid"] for event in system.events("order")]
    assert uids == [ALICE, BOB] + [ALICE] * 19


def resident(listener: Listener) -> int:
    """KiB."""
    return int(Path(f"/proc/{listener.process.pid}/status").read_text().split("VmRSS:")[1].split()[0])


def test_flood(system: Listener) -> None:
    """One user connects without end and says nothing, garbage, or less than all of it; others are served."""

    def attack(wait: Any) -> int:
        count, kept = 0, []
        while count < 1_000_000:
            with contextlib.suppress(OSError):
                sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
                sock.connect(str(system.path))
                if count % 3:
                    sock.send(b"x" * (count % 3 * 64))
                kept.append(sock)
            count += 1
            if len(kept) == 200:
                for sock in kept:
                    sock.close()
                kept.clear()
            if count % 100 == 0 and (system.folder / "enough").exists():
                break
        return count

    def start() -> int:
        done = 0
        for _ in range(20):
            with system.started() as front:
                done += front.pid > 0
        return done

    before = system.fds()
    memory = resident(system)
    attackers = [Other(lambda: become(ALICE), attack) for _ in range(2)]
    assert run_as(BOB, start) == 20
    system.behave("enough")
    assert sum(attacker.result() for attacker in attackers) > 1000
    rests(system, before)
    assert resident(system) - memory < 4096


def test_too_many_open_connections(folder: Path) -> None:
    """Of one user 64 wait at most; what is over hangs up, and does so again when it is out of descriptors."""

    def few() -> None:
        import resource

        resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))

    with Listener(folder, before=few) as listener:
        with contextlib.ExitStack() as stack:
            fronts = [stack.enter_context(listener.front()) for _ in range(100)]
            assert all(hung_up(front) for front in fronts)
        with listener.started():
            pass


def test_seen_by_others(system: Listener) -> None:
    """Everybody may know how many there are; rows are one's own, or root's to see."""

    def act(wait: Any) -> list[Any]:
        with system.started() as front:
            status = system.status()
            refusals = []
            for op in (Op.DRAIN, Op.RELOAD):
                with system.front() as asking:
                    asking.request(op)
                    refusals.append(asking.refusal())
            (system.folder / f"ready-{os.getuid()}").touch()
            wait()
            return [front.pid, status, system.status(), refusals]

    system.folder.chmod(0o777)
    people = [Other(lambda uid=uid: become(uid), act) for uid in (ALICE, BOB)]  # type: ignore[misc]
    for uid in (ALICE, BOB):
        eventually((system.folder / f"ready-{uid}").exists)
    all_rows = system.status().rows
    for person in people:
        person.go()
    results = [person.result() for person in people]
    assert {(pid, uid) for pid, uid, _ in all_rows} == {(results[0][0], ALICE), (results[1][0], BOB)}
    for (pid, status, _, refusals), uid in zip(results, (ALICE, BOB), strict=True):
        assert status.rows == [(pid, uid, 0)] and not status.per_user
        assert refusals == ["NOT_ALLOWED", "NOT_ALLOWED"]
    assert results[0][1].live in (1, 2)


def test_receive_helper_sees_the_end(per_user: Listener) -> None:
    with per_user.front() as front:
        front.request(Op.DRAIN)
        assert front.expect(Op.DONE).id == 77
        assert receive(front.sock) == (b"", [])
    assert per_user.process.wait(DEADLINE) == 0
