# SPDX-License-Identifier: BSD-3-Clause
"""`pupitre nursery status|drain|reload` against a stand-in that answers what a test wants."""

from __future__ import annotations

import json
import os
import pwd
import socket
import struct
from pathlib import Path

import pytest
from conftest import Cli, Peer
from pupitre.nursery import glance, messages, status
from pupitre.nursery.messages import Op, TemplateState

HEAD = (messages.MAGIC, messages.VERSION)
REASONS = list(messages.REASONS)


def answer(op: int, reason: str = "OK") -> bytes:
    return messages.ANSWER.pack(*HEAD, op, 1, 0, 0, REASONS.index(reason), 0, 0, 0, 0, 0)


def state(*templates: TemplateState, draining: bool = False, live: int = 0, **refused: int) -> bytes:
    counts = [refused.get(name, 0) for name in REASONS]
    numbers = (10, draining, 1, len(templates), 3725, 12, sum(counts), live, *FORK_TIMES, *counts)
    rows = [
        messages.TEMPLATE_STATUS.pack(os.getpid(), template, 61, 12, 0, 0, 0, 0, b"numpy 1.24\0")
        for template in templates
    ]
    return (messages.STATUS.pack(*HEAD, Op.STATUS, 1, *numbers) + b"".join(rows)).ljust(messages.STATUS_SIZE, b"\0")


def worker(pid: int, stopped: bool = False, uid: int | None = None) -> bytes:
    return messages.ROW.pack(*HEAD, Op.STATUS, 1, pid, os.getuid() if uid is None else uid, 60, stopped, 0)


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
    with Peer(place, [said, worker(sleeper), worker(sleeper, stopped=True), worker(gone, uid=60_000), DONE]):
        done = cli.run("status")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == f"nursery    ready, at {place}, for one user, pid 10, up 1 h 2 min"
    assert lines[1].startswith(f"template   ready, pid {os.getpid()}, 1 min 1 s old, 12 forks, ")
    assert lines[2].strip() == "numpy 1.24"
    assert lines[3].startswith("template   old")
    assert lines[5] == "workers    3 alive, of 2 users"
    assert lines[6].split() == ["user", "workers", "running", "waiting", "stopped", *["private", "MB", "shared", "MB"]]
    assert lines[7].split()[:5] == ["60000", "1", "0", "0", "0"]
    assert lines[7].split()[5:] == ["-", "-"]
    name, *numbers = lines[8].split()
    assert name == pwd.getpwuid(os.getuid()).pw_name
    assert numbers[:4] == ["2", "0", "1", "1"]
    assert float(numbers[4]) > 0
    assert lines[9] == "forks      12, half within 1.4 ms, 95 % within 5.0 ms"
    assert lines[10] == "refused    7, and started cold:"
    assert lines[11].split(maxsplit=1) == ["5", messages.REASONS["TOO_MANY"]]
    assert lines[12].split(maxsplit=1) == ["2", messages.REASONS["CGROUP"]]
    assert len(lines) == 13


def test_report_for_programs(cli: Cli, place: Path, sleeper: int) -> None:
    with Peer(place, [state(TemplateState.READY, live=1, CGROUP=2), worker(sleeper), DONE]):
        facts = json.loads(cli.run("status", "--json").stdout)
    assert facts["ready"] is True
    assert (facts["mode"], facts["uptime_s"], facts["forks"]) == ("user", 3725, 12)
    assert facts["refused"] == [{"reason": "CGROUP", "text": messages.REASONS["CGROUP"], "count": 2}]
    (template,) = facts["templates"]
    assert (template["state"], template["text"]) == ("ready", "numpy 1.24")
    (row,) = facts["workers"]
    assert (row["pid"], row["state"], row["uid"]) == (sleeper, "waiting", os.getuid())
    assert row["private_kib"] + row["shared_kib"] == row["resident_kib"]
    assert 0 < row["proportional_kib"] <= row["resident_kib"]


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
    monkeypatch.setattr(status.struct, "unpack", lambda *_: (1, 54321, 54321))
    with Peer(place, [READY, DONE]):
        with pytest.raises(status.Unreachable, match="belongs to user 54321"):
            status.connect(None)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59, "59 s"), (60, "1 min"), (3725, "1 h 2 min"), (86400 * 3 + 7200, "3 d 2 h"), (86401, "1 d 1 s")],
)
def test_durations(seconds: int, text: str) -> None:
    assert status.duration(seconds) == text
