# SPDX-License-Identifier: BSD-3-Clause
"""A line for each death and each kernel that starts cold, and the ledger of users, both the scribe's: what fronts say
is theirs alone.
"""

from __future__ import annotations

import json
import os
import pwd
import re
import signal
import struct
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from listener import Listener, eventually, find_program, has_ended
from messages import DEADLINE, NOTE, Op, Reason, receive
from people import ALICE, BOB, Other, become, run_as
from pupitre.nursery import messages
from pupitre.nursery.door import make_scribe

OUT_OF_MEMORY = 1  # NURSERY_CAUSE_LIMIT
NOBODY = 65534


class Watched(Listener):
    """A nursery of the machine with its scribe."""

    def __init__(self, folder: Path, *options: str) -> None:
        before = set(children(os.getpid()))
        self.stderr = os.dup(2)
        with open(folder / "stderr", "ab") as log:
            os.dup2(log.fileno(), 2)
        try:
            scribe = make_scribe(str(Path(find_program()).with_name("pupitre-scribe")), "warning", system=True)
        finally:
            os.dup2(self.stderr, 2)
            os.close(self.stderr)
        (self.scribe,) = set(children(os.getpid())) - before
        with scribe:
            super().__init__(folder, *options, system=True, scribe=scribe)

    def lines(self, event: str) -> list[dict[str, str]]:
        """The lines of a kind, taken apart."""
        found = re.findall(rf"^pupitre-nursery: warning: event={event} (.*)$", self.log(), re.MULTILINE)
        return [{name: value.strip('"') for name, value in re.findall(r'(\w+)=("[^"]*"|\S+)', line)} for line in found]

    def ledger(self) -> dict[int, messages.User]:
        """By uid; what root is told."""
        with self.front() as front:
            front.request(Op.LEDGER)
            _, [file] = receive(front.sock)
            with open(file, "rb") as rows:
                rows.seek(0)
                return {user.uid: user for user in messages.users_of(rows.read())}


def children(pid: int) -> list[int]:
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def starts(listener: Listener) -> bool:
    with listener.started() as front:
        return front.pid > 0


@pytest.fixture
def watched(folder: Path) -> Iterator[Watched]:
    with Watched(folder, "--burst", "1000") as listener:
        yield listener


def tell(listener: Listener, uid: int, op: Op, count: int = 1, kernel: bytes = bytes(16), **fields: int) -> list[Op]:
    """What the listener answers when somebody sends a note."""
    names = ("pid", "status", "cell", "reason", "cause", "used_us", "peak_kib")
    note = NOTE.pack(*(fields.get(name, 0) for name in names))

    def act() -> list[Op]:
        said = []
        for _ in range(count):
            with listener.front() as front:
                front.request(op, kernel=kernel, note=note)
                answer = front.answer()
                assert answer is not None
                said.append(answer.op)
        return said

    told: list[Op] = run_as(uid, act)
    return told


def test_twelve_students_can_be_told_apart(watched: Watched) -> None:
    kernels = {ALICE + i: uuid.uuid4() for i in range(12)}
    for uid, kernel in kernels.items():
        number = uid - ALICE
        facts = {"pid": 5000 + number, "cell": number + 1, "status": signal.SIGKILL, "used_us": 1_500_000}
        cause = OUT_OF_MEMORY if number % 2 else 0
        said = tell(watched, uid, Op.NOTE_DIED, kernel=kernel.bytes, cause=cause, peak_kib=2048 * number, **facts)
        assert said == [Op.DONE]
    eventually(lambda: len(watched.lines("died")) == 12)
    for line, (uid, kernel) in zip(watched.lines("died"), kernels.items(), strict=True):
        number = uid - ALICE
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}", line.pop("time"))
        assert line == {
            "user": str(uid),
            "uid": str(uid),
            "kernel": str(kernel),
            "pid": str(5000 + number),
            "cell": str(number + 1),
            "reason": "out of memory: the limit of this user or server was reached"
            if number % 2
            else "ended by signal 9 (Killed)",
            "peak_mb": f"{2 * number:.1f}",
            "cpu_s": "1.5",
        }
    ledger = watched.ledger()
    assert sum(user.deaths for user in ledger.values()) == 12
    assert sum(user.over_memory for user in ledger.values()) == 6


def test_users_are_named(watched: Watched) -> None:
    """Whoever has a name has it in the line: here somebody of the machine, as the nursery's own."""
    name = pwd.getpwuid(os.geteuid()).pw_name
    with watched.front() as front:
        front.request(Op.NOTE_COLD, note=NOTE.pack(7, 0, 0, Reason.ENVIRONMENT, 0, 0, 0))
        front.expect(Op.DONE)
    (line,) = eventually(lambda: watched.lines("cold"))
    assert (line["user"], line["uid"], line["pid"]) == (name, "0", "7")
    assert line["reason"] == messages.REASONS["ENVIRONMENT"]


def test_each_refusal_has_a_line(folder: Path) -> None:
    with Watched(folder, "--max-per-user", "1") as listener:

        def act() -> list[str]:
            with listener.started(), listener.front() as front:
                front.request(kernel=uuid.UUID(int=7).bytes)
                return [front.refusal()]

        assert run_as(ALICE, act) == ["TOO_MANY"]
        (line,) = eventually(lambda: listener.lines("cold"))
        assert (line["uid"], line["kernel"]) == (str(ALICE), str(uuid.UUID(int=7)))
        assert line["reason"] == messages.REASONS["TOO_MANY"]
        known = listener.ledger()[ALICE]
        assert (known.forks, known.cold, known.deaths) == (1, {"TOO_MANY": 1}, 0)


def test_a_note_is_believed_of_its_own_user_only(watched: Watched) -> None:
    """However many somebody sends, others have their lines."""
    assert set(tell(watched, ALICE, Op.NOTE_DIED, count=300)) == {Op.DONE}
    assert tell(watched, BOB, Op.NOTE_COLD, reason=Reason.UNLIKE) == [Op.DONE]
    (line,) = eventually(lambda: watched.lines("cold"))
    assert line["uid"] == str(BOB)
    assert len(watched.lines("died")) < 100
    assert {line["uid"] for line in watched.lines("died")} == {str(ALICE)}
    ledger = watched.ledger()
    assert (ledger[ALICE].deaths, ledger[BOB].deaths, ledger[BOB].cold) == (300, 0, {"UNLIKE": 1})


def test_notes_cost_as_much_as_starts(folder: Path) -> None:
    with Watched(folder, "--burst", "4") as listener:
        said = tell(listener, ALICE, Op.NOTE_DIED, count=20)
        assert said[:4] == [Op.DONE] * 4 and Op.REFUSED in said
        assert tell(listener, BOB, Op.NOTE_DIED) == [Op.DONE]


def test_strangers_have_nothing_to_say(watched: Watched) -> None:
    assert tell(watched, 500, Op.NOTE_DIED) == [Op.REFUSED]
    assert tell(watched, ALICE, Op.LEDGER) == [Op.REFUSED]
    assert tell(watched, ALICE, Op.NOTE_COLD, reason=len(Reason)) == [Op.REFUSED]
    assert not watched.lines("died") and not watched.lines("cold")
    assert len(eventually(lambda: len(watched.lines("refused")) == 3 and watched.lines("refused"))) == 3


def test_the_end_says_who_started_cold(watched: Watched) -> None:
    """As each hour does, when they are more than a tenth."""
    tell(watched, ALICE, Op.NOTE_COLD, reason=Reason.ENVIRONMENT)
    watched.process.terminate()
    assert watched.process.wait(DEADLINE) == 0
    (line,) = eventually(lambda: watched.lines("hour"))
    assert line["text"] == f"1 of 1 kernels started cold: {messages.REASONS['ENVIRONMENT']} (in 1 min)"


def status_of(listener: Listener) -> dict[str, Any]:
    command = [sys.executable, "-m", "pupitre.cli", "nursery", "status", "--json", "--socket", str(listener.path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=True)
    facts: dict[str, Any] = json.loads(done.stdout)
    return facts


def test_status_of_who_stopped_everything(watched: Watched) -> None:
    """A student whose kernel, front and all, stands still, and whose notes nobody waits to have answered."""
    told, ready = os.pipe()

    def act(wait: Callable[[], None]) -> None:
        with watched.front() as front, watched.front() as silent, watched.front() as note:
            silent.sock.send(b"")
            note.request(Op.NOTE_DIED)
            os.write(ready, struct.pack("i", front.start().pid))
            wait()

    student = Other(lambda: become(ALICE), act)
    (worker,) = struct.unpack("i", os.read(told, 4))
    os.kill(worker, signal.SIGSTOP)
    os.kill(student.pid, signal.SIGSTOP)
    stopped = eventually(lambda: [row for row in status_of(watched)["workers"] if row["state"] == "stopped"])
    assert [(row["pid"], row["uid"]) for row in stopped] == [(worker, ALICE)]
    (user,) = status_of(watched)["users"]
    assert (user["uid"], user["forks"], user["deaths"]) == (ALICE, 1, 1)
    for pid in (student.pid, worker):
        os.kill(pid, signal.SIGCONT)
    student.go()
    student.result()
    os.close(told)
    os.close(ready)


def test_the_scribe_is_nobody_and_nobody_waits_for_it(watched: Watched) -> None:
    eventually(lambda: f"\nUid:\t{NOBODY}\t{NOBODY}\t{NOBODY}" in Path(f"/proc/{watched.scribe}/status").read_text())
    status = Path(f"/proc/{watched.scribe}/status").read_text()
    assert re.search(r"^Groups:\s*$", status, re.MULTILINE) and re.search(r"^CapPrm:\s*0+$", status, re.MULTILINE)
    os.kill(watched.scribe, signal.SIGSTOP)
    for _ in range(600):  # more than its connection can hold
        with watched.front() as front:
            front.request(Op.NOTE_COLD)
            front.expect(Op.DONE)
    assert run_as(ALICE, lambda: starts(watched))
    os.kill(watched.scribe, signal.SIGKILL)
    assert run_as(ALICE, lambda: starts(watched))
    facts = status_of(watched)
    assert facts["forks"] == 2 and facts["deaths"] is None


def test_the_scribe_ends_with_the_listener(watched: Watched) -> None:
    pidfd = os.pidfd_open(watched.scribe)
    os.kill(watched.scribe, signal.SIGTERM)  # as systemd does to all of a unit
    tell(watched, ALICE, Op.NOTE_DIED)
    eventually(lambda: watched.lines("died"))
    watched.process.kill()
    assert has_ended(pidfd)
    os.close(pidfd)
