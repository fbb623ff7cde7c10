# SPDX-License-Identifier: BSD-3-Clause
"""`pupitre nursery status|drain|reload` against a stand-in that answers what a test wants."""

from __future__ import annotations

import json
import os
import pwd
import socket
import struct
import uuid
from pathlib import Path

import pytest
from conftest import Cli, Peer
from pupitre.nursery import glance, messages, places, status
from pupitre.nursery.messages import Op, TemplateState

HEAD = (messages.MAGIC, messages.VERSION)
REASONS = list(messages.REASONS)


def answer(op: int, reason: str = "OK") -> bytes:
    return messages.ANSWER.pack(*HEAD, op, 1, 0, 0, REASONS.index(reason), 0, 0, 0, 0, 0)


def state(*templates: TemplateState, draining: bool = False, live: int = 0, **refused: int) -> bytes:
    counts = [refused.get(name, 0) for name in REASONS]
    numbers = (10, draining, 1, len(templates), 3725, 12, sum(counts), live, *FORK_TIMES, *counts)
    rows = [
        messages.TEMPLATE_STATUS.pack(
            os.getpid(),
            template,
            61,
            12,
            0,
            0,
            0,
            0,
            b"Python 3.11.2; numpy 1.24; tricks: plug+freeze; loaded in 7.1 s\0",
        )
        for template in templates
    ]
    return (messages.STATUS.pack(*HEAD, Op.STATUS, 1, *numbers) + b"".join(rows)).ljust(messages.STATUS_SIZE, b"\0")


KERNEL = uuid.UUID("6f1c2a3b-0000-4000-8000-123456789abc")


def worker(pid: int, stopped: bool = False, uid: int | None = None) -> bytes:
    return messages.ROW.pack(pid, os.getuid() if uid is None else uid, 60, stopped, 0, KERNEL.bytes)


def user(uid: int, *, deaths: int = 0, over_memory: int = 0, forks: int = 0, used: int = 0, **cold: int) -> bytes:
    return messages.USER.pack(uid, deaths, over_memory, *(cold.get(name, 0) for name in REASONS), forks, used)


FORK_TIMES = [1000] * 5 + [1400] * 6 + [5000] + [0] * (messages.FORK_TIMES - 12)
DONE = answer(Op.DONE)
READY = state(TemplateState.READY)


@pytest.fixture
def place(cli: Cli) -> Path:
    return cli.runtime / "pupitre" / "nursery.sock"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (state(TemplateState.READY), 0),
        (state(TemplateState.OLD, TemplateState.READY), 0),
        (state(TemplateState.READY, draining=True), 1),
        (state(TemplateState.BUILDING), 1),
        (state(TemplateState.UNFIT), 1),
        (state(TemplateState.OLD), 1),
        (state(), 1),
    ],
)
def test_exit_status_is_whether_it_can_fork(cli: Cli, place: Path, said: bytes, expected: int) -> None:
    with Peer(place, [said, DONE]) as peer:
        done = cli.run("status")
    assert done.returncode == expected, done
    assert messages.HEADER.unpack_from(peer.question)[:3] == (*HEAD, Op.STATUS)
    assert len(peer.question) == messages.REQUEST.size


def test_nobody_listens(cli: Cli, place: Path) -> None:
    place.parent.mkdir()
    for action in ("status", "drain", "reload"):
        done = cli.run(action, "--socket", place)
        assert (done.returncode, done.stdout) == (3, "")
        assert done.stderr == f"pupitre nursery: no nursery listens at {place}: No such file or directory\n"
    done = cli.run("status", "--json", "--socket", place)
    assert done.returncode == 3
    assert json.loads(done.stdout)["ready"] is False
    left = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    left.bind(str(place))
    left.close()
    assert "Connection refused" in cli.run("status", "--socket", place).stderr


def test_report_for_people(cli: Cli, place: Path, sleeper: int) -> None:
    gone = 2**22 + 1  # more than pid_max can be
    said = state(TemplateState.READY, TemplateState.OLD, live=3, CGROUP=2, TOO_MANY=5)
    rows = worker(sleeper) + worker(sleeper, stopped=True) + worker(gone, uid=60_000)
    with Peer(place, [(said, rows), DONE]):
        done = cli.run("status")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == f"nursery    ready, at {place}, for one user, pid 10, up 1 h 2 min"
    assert lines[1].startswith(f"template   ready, pid {os.getpid()}, 1 min 1 s old, 12 forks, ")
    assert lines[2].strip() == "Python 3.11.2; numpy 1.24; loaded in 7.1 s"
    assert lines[3].startswith("template   old")
    assert lines[5] == "kernels    3 alive, of 2 users"
    assert lines[6].strip() == "running: a cell runs now; waiting: idle; stopped: suspended"
    columns = "user kernels running waiting stopped private MB shared MB cpu s forked cold died of memory"
    assert lines[7].split() == columns.split()
    assert lines[8].split() == ["60000", "1", "0", "0", "0", "-", "-", "-", "-", "-", "-", "-"]
    name, *numbers = lines[9].split()
    assert name == pwd.getpwuid(os.getuid()).pw_name
    assert numbers[:4] == ["2", "0", "1", "1"]
    assert float(numbers[4]) > 0
    assert numbers[6:] == ["0.0", "-", "-", "-", "-"]
    assert lines[10] == "forked     12, half within 1.4 ms, 95 % within 5.0 ms"
    assert lines[11] == "cold       7, because"
    assert lines[12].split(maxsplit=1) == ["5", messages.REASONS["TOO_MANY"]]
    assert lines[13].split(maxsplit=1) == ["2", messages.REASONS["CGROUP"]]
    assert len(lines) == 14


def test_report_of_the_ledger(cli: Cli, place: Path, sleeper: int) -> None:
    """Who started how many kernels, what they used, and how they ended: also of those who have none now."""
    ledger = user(os.getuid(), forks=3, used=90_000_000, CGROUP=1)
    ledger += user(60_010, deaths=3, over_memory=2, forks=7) + user(60_002, ENVIRONMENT=4)
    ledger += user(messages.STRANGERS, NOT_ALLOWED=1)
    with Peer(place, [(state(TemplateState.READY, live=1, CGROUP=1), worker(sleeper)), DONE], ledger=[(DONE, ledger)]):
        lines = cli.run("status").stdout.splitlines()
    table = {line.split()[0]: line.split()[1:] for line in lines[6:9]}
    assert list(table)[:2] == ["60002", "60010"]
    assert table["60002"] == ["0", "0", "0", "0", "0.0", "0.0", "0.0", "0", "4", "0", "0"]
    assert table["60010"] == ["0", "0", "0", "0", "0.0", "0.0", "0.0", "7", "0", "3", "2"]
    assert table[pwd.getpwuid(os.getuid()).pw_name][6:] == ["90.0", "3", "1", "0", "0"]
    assert lines[10] == "cold       6, because"
    assert lines[11].split(maxsplit=1) == ["4", messages.REASONS["ENVIRONMENT"]]
    assert lines[14] == "died       3, 2 of them for want of memory"


def test_report_for_programs(cli: Cli, place: Path, sleeper: int) -> None:
    said = [(state(TemplateState.READY, live=1, CGROUP=2), worker(sleeper)), DONE]
    with Peer(place, said, ledger=[(DONE, user(60_002, deaths=1, CGROUP=2))]):
        facts = json.loads(cli.run("status", "--json").stdout)
    assert facts["ready"] is True
    assert (facts["mode"], facts["uptime_s"], facts["forks"]) == ("user", 3725, 12)
    cold = [{"reason": "CGROUP", "text": messages.REASONS["CGROUP"], "count": 2}]
    assert facts["refused"] == facts["cold"] == cold
    assert (facts["deaths"], facts["over_memory"]) == (1, 0)
    (known,) = facts["users"]
    assert (known["uid"], known["deaths"], known["cold"]) == (60_002, 1, cold)
    (template,) = facts["templates"]
    assert template["state"] == "ready"
    assert "; tricks: plug+freeze; " in template["text"]
    (row,) = facts["workers"]
    assert (row["pid"], row["state"], row["uid"], row["kernel"]) == (sleeper, "waiting", os.getuid(), str(KERNEL))
    assert row["private_kib"] + row["shared_kib"] == row["resident_kib"]
    assert 0 < row["proportional_kib"] <= row["resident_kib"]


def test_a_file_that_could_be_waited_for_is_not_read(place: Path) -> None:
    with Peer(place, []) as peer:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ears, mouth = os.pipe()
        with ours, theirs:
            socket.send_fds(theirs, [READY], [ears])
            with pytest.raises(status.Unreachable, match="a file of another kind"):
                list(status.receive(ours, str(peer.path), 5.0))
        os.close(ears)
        os.close(mouth)


def test_memory_that_is_not_ours_to_see(monkeypatch: pytest.MonkeyPatch, sleeper: int) -> None:
    read = Path.read_text

    def refuse(path: Path) -> str:
        if path.name == "smaps_rollup":
            raise PermissionError
        return read(path)

    monkeypatch.setattr(Path, "read_text", refuse)
    found = glance.memory_of(sleeper)
    assert found.private is found.shared is found.proportional is None
    assert found.resident is not None
    assert found.resident > 0


@pytest.mark.parametrize(("action", "op"), [("drain", Op.DRAIN), ("reload", Op.RELOAD)])
def test_orders(cli: Cli, place: Path, action: str, op: Op) -> None:
    with Peer(place, [DONE]) as peer:
        done = cli.run(action)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{place}: ")
    assert messages.HEADER.unpack_from(peer.question)[2] == op


@pytest.mark.parametrize("action", ["status", "drain", "reload"])
def test_a_refusal_says_why(cli: Cli, place: Path, action: str) -> None:
    with Peer(place, [answer(Op.REFUSED, "NOT_ALLOWED")]):
        done = cli.run(action)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"pupitre nursery: refused: {messages.REASONS['NOT_ALLOWED']}\n"


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([], "hung up"),
        ([READY], "hung up"),
        ([b"hello"], "speaks another language: 5 bytes"),
        ([struct.pack("@IHHQ", messages.MAGIC, 9, 2, 1)], "version 9 of the protocol"),
        ([b"\0" * messages.ANSWER.size], "not a nursery's magic number"),
        ([DONE], "does not say how it is"),
    ],
)
def test_nonsense_is_told_and_not_believed(cli: Cli, place: Path, answers: list[bytes], said: str) -> None:
    with Peer(place, answers):
        done = cli.run("status")
    assert (done.returncode, done.stdout) == (3, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_silence_has_a_deadline(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Peer(place, [READY], silent=True):
        with pytest.raises(status.Unreachable, match=r"did not answer within 0 s"):
            status.ask(str(place), Op.STATUS, 0.05)


def test_a_strangers_nursery_is_not_believed(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels do not ask it either; whoever names it with --socket sees it."""
    monkeypatch.setenv("PUPITRE_NURSERY", str(place))
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    monkeypatch.setattr(places, "listener_of", lambda _: (1, 54321))
    with Peer(place, [READY, DONE]):
        with pytest.raises(status.Unreachable, match="belongs to user 54321"):
            status.connect(None)


def test_names_in_natural_order() -> None:
    names = ["s10", "s2", "amelie", "s2a", "7", "s1x12", "s1x3"]
    assert sorted(names, key=status.natural) == ["7", "amelie", "s1x3", "s1x12", "s2", "s2a", "s10"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59, "59 s"), (60, "1 min"), (3725, "1 h 2 min"), (86400 * 3 + 7200, "3 d 2 h"), (86401, "1 d 1 s")],
)
def test_durations(seconds: int, text: str) -> None:
    assert status.duration(seconds) == text
