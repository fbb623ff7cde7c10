# SPDX-License-Identifier: BSD-3-Clause
"""A pupitre-nursery with a template made of Python, and those who talk to it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from messages import (
    BUILD,
    DEADLINE,
    MAGIC,
    NOTE,
    REQUEST,
    ROOT,
    ROW,
    VERSION,
    Answer,
    Op,
    Reason,
    Status,
    interpreter,
    receive,
    send,
)
from pupitre.nursery.door import hand_over, open_door

PYTHON = "/usr/bin/python3"
TEMPLATE = Path(__file__).with_name("template.py")
# What `pupitre nursery` always says, here without limits.
USUAL = {
    "log-level": "info",
    "min-uid": "1000",
    "max-uid": "60000",
    "max-per-user": "0",
    "max-total": "0",
    "burst": "0",
    "serve-confined": "0",
}


def words(options: dict[str, str]) -> list[str]:
    """As they stand on a command line."""
    return [word for name, value in options.items() for word in (f"--{name}", value)]


def find_program() -> str:
    """$PUPITRE_NURSERY_BIN, or where the builds of this tree put it."""
    named = os.environ.get("PUPITRE_NURSERY_BIN")
    places = [ROOT / ".venv/libexec/pupitre", ROOT / "build/debug/kernel/nursery/listener"]
    found = [named] if named else [str(p / "pupitre-nursery") for p in places if (p / "pupitre-nursery").exists()]
    assert found, "pupitre-nursery is not built: scripts/setup --test"
    return found[0]


def eventually(condition: Callable[[], Any], what: str = "") -> Any:
    """The first true value of `condition`, looked at again and again until the deadline."""
    end = time.monotonic() + DEADLINE
    while not (value := condition()):
        assert time.monotonic() < end, f"did not happen within {DEADLINE} s: {what}"
        select.select([], [], [], 0.005)
    return value


def has_ended(pidfd: int, seconds: float = DEADLINE) -> bool:
    """Whether the process of a pidfd ends within so many seconds."""
    return bool(select.select([pidfd], [], [], seconds)[0])


@contextlib.contextmanager
def descriptors() -> Iterator[list[int]]:
    """The ten of a START, each of the kind that a front sends."""
    with contextlib.ExitStack() as stack:

        def keep(fd: int) -> int:
            stack.callback(os.close, fd)
            return fd

        out, err = os.pipe(), os.pipe()
        link, life, answers = socket.socketpair(), socket.socketpair(), socket.socketpair()
        for fd in (*out, *err):
            keep(fd)
        for end in (*link, *life, *answers):
            stack.enter_context(end)
        shared, crash, payload = (keep(os.memfd_create(name)) for name in ("shared", "crash", "payload"))
        bell, folder = keep(os.eventfd(0)), keep(os.open(".", os.O_PATH | os.O_DIRECTORY))
        sockets = [link[1].fileno(), bell, shared, life[1].fileno(), crash, answers[1].fileno()]
        yield [out[1], err[1], *sockets, payload, folder]


class Front:
    """A connection, with what a front would say on it."""

    def __init__(self, path: Path) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.connect(str(path))  # where many are before us this waits
        self.sock.settimeout(DEADLINE)
        self.pidfd = -1
        self.pid = 0

    def __enter__(self) -> Front:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.sock.close()
        if self.pidfd >= 0:
            os.close(self.pidfd)
        self.pidfd = -1

    def request(
        self,
        op: int = Op.START,
        fds: int | list[int] | None = None,
        *,
        size: int = REQUEST.size,
        magic: int = MAGIC,
        version: int = VERSION,
        ident: int = 77,
        build: bytes = BUILD,
        python: str = PYTHON,
        kernel: bytes = bytes(16),
        note: bytes = bytes(NOTE.size),
    ) -> None:
        """One request; `fds` is how many descriptors (START: 10) or which."""
        ids = interpreter(python) if op == Op.START else (0, 0, 0, 0)
        data = REQUEST.pack(magic, version, op, ident, build, *ids, kernel, note)
        if fds is None:
            fds = 10 if op == Op.START else 0
        if isinstance(fds, list):
            send(self.sock, data.ljust(size, b"\0")[:size], fds)
        else:
            with descriptors() as whole:
                send(self.sock, data.ljust(size, b"\0")[:size], (whole * 12)[:fds])

    def answer(self) -> Answer | None:
        """The next one, or None at the end of the connection."""
        data, fds = receive(self.sock)
        if not data:
            return None
        answer = Answer.parse(data, fds)
        if answer.op == Op.FORKED:
            self.pidfd, self.pid = answer.pidfd, answer.pid
        return answer

    def expect(self, op: Op) -> Answer:
        answer = self.answer()
        assert answer is not None and answer.op == op, f"{op!r} was wanted, {answer} came"
        return answer

    def refusal(self) -> str:
        """The name of the reason; the connection ends with it."""
        answer = self.answer()
        assert answer is not None and answer.op == Op.REFUSED, f"a refusal was wanted, {answer} came"
        assert self.answer() is None
        return Reason(answer.reason).name

    def start(self) -> Front:
        """START up to FORKED."""
        self.request()
        self.expect(Op.QUEUED)
        self.expect(Op.FORKED)
        return self


class Listener:
    """pupitre-nursery in `folder`; ended with the `with` statement, and its templates and their children with it."""

    def __init__(self, folder: Path, *options: str, system: bool = False, template: str | Path = TEMPLATE,
                 python: str = PYTHON, environment: dict[str, str] | None = None, ready: bool = True,
                 path: Path | None = None, before: Callable[[], None] | None = None,
                 notify: socket.socket | None = None, scribe: socket.socket | None = None) -> None:  # fmt: skip
        self.folder = folder
        self.path = path or folder / "run" / "nursery.sock"
        chosen = {name.removeprefix("--"): value for name, value in zip(options[::2], options[1::2], strict=True)}
        places = {"template": str(template), "python": python, "home": str(folder), "settings": str(folder)}
        command = [find_program(), *words({**places, **USUAL, **chosen})]

        def listen() -> None:
            if before is not None:
                before()
            hand_over(open_door(str(self.path), system), notify, scribe)

        self.process = subprocess.Popen(
            command + (["--system"] if system else []),
            stdout=subprocess.PIPE,
            stderr=open(folder / "stderr", "ab"),  # noqa: SIM115
            env={**os.environ, **(environment or {})},
            preexec_fn=listen,
            close_fds=False,  # nothing else of ours can be inherited
            start_new_session=True,
        )
        if ready:
            self.wait_ready()

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdout is not None
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(DEADLINE)
        self.process.stdout.close()
        while any(self._kill(pid) for pid in map(int, filter(str.isdigit, os.listdir("/proc")))):
            pass

    def _kill(self, pid: int) -> bool:
        """If it is a template of ours, or a child of one, by its command line. Whether it was."""
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            ours = words[1:2] == [os.fsencode(TEMPLATE)] and os.fsencode(self.folder) in words
            if ours:
                os.kill(pid, signal.SIGKILL)
            return ours
        except (OSError, ProcessLookupError):
            return False

    def wait_ready(self) -> None:
        assert self.process.stdout is not None
        assert select.select([self.process.stdout], [], [], DEADLINE)[0], self.log()
        assert self.process.stdout.readline() == b"ready\n", self.log()

    def log(self) -> str:
        return (self.folder / "stderr").read_text()

    def events(self, what: str | None = None) -> list[dict[str, Any]]:
        """What templates noted."""
        try:
            lines = (self.folder / "log").read_text().splitlines()
        except FileNotFoundError:
            return []
        return [event for event in map(json.loads, lines) if what is None or event["what"] == what]

    def front(self) -> Front:
        return Front(self.path)

    @contextlib.contextmanager
    def started(self) -> Iterator[Front]:
        with self.front() as front:
            yield front.start()

    def behave(self, name: str, text: str = "") -> None:
        (self.folder / name).write_text(text)

    def forget(self, name: str) -> None:
        (self.folder / name).unlink()

    def hold(self) -> None:
        """The template keeps the next order to itself until let_go."""
        os.mkfifo(self.folder / "go")
        self.behave("hold")

    def let_go(self) -> None:
        eventually(lambda: self.events("held"), "an order")
        self.forget("hold")
        (self.folder / "go").write_bytes(b"x")

    def fds(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def command(self, op: Op) -> Answer:
        with self.front() as front:
            front.request(op)
            answer = front.answer()
            assert answer is not None
            return answer

    def status(self) -> Status:
        with self.front() as front:
            front.request(Op.STATUS)
            status = self.read_status(front)
            front.expect(Op.DONE)
            return status

    @staticmethod
    def read_status(front: Front) -> Status:
        """The first datagram of an answer, and the file with it."""
        data, [file] = receive(front.sock)
        status = Status.parse(data)
        with open(file, "rb") as rows:
            rows.seek(0)
            status.rows += [(pid, uid, stopped) for pid, uid, _, stopped, _, _ in ROW.iter_unpack(rows.read())]
        return status
