# SPDX-License-Identifier: BSD-3-Clause
"""Plays the front: starts pupitre-worker as pupitre-kernel does, and speaks the link with it."""

import ctypes
import json
import mmap
import os
import select
import signal
import socket
import struct
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
START, REQUEST, INPUT_REPLY, EXIT = 1, 2, 3, 4
HELLO, REPLY, DONE, PUBLISH, INPUT_REQUEST, BYE = 16, 17, 18, 19, 20, 21
HEADER = struct.Struct("=IHHIIQ")  # struct frame_header, link/frame.h
RECORD = struct.Struct("=III")  # struct ring_record, link/ring.h
MAGIC, STATE_MAGIC = 0x32505550, 0x54535550
PAGE, RING_SIZE = 4096, 64 * 1024
SHARED_SIZE = 2 * PAGE + RING_SIZE
WORDS = {
    "activity": 8,
    "generation": 12,
    "serial": 16,
    "cell": 20,
    "interrupt_serial": 24,
    "fault": 28,
    "fault_signal": 32,
}
FAULT_ADDRESS = 40
HEAD, TAIL, BELL_AT, WAITING, ROOM_FUTEX = PAGE, PAGE + 64, PAGE + 128, PAGE + 132, PAGE + 136
OURS, USER, IDLE_AWAIT = 0, 1, 2
FUTEX_WAKE, SYS_FUTEX = 1, {"x86_64": 202, "aarch64": 98}[os.uname().machine]
DEADLINE = 20.0  # seconds any single step may take
libc = ctypes.CDLL(None, use_errno=True)


def python_path() -> str:
    """The interpreter that the worker is to be: $PUPITRE_PYTHON, else ours. Of the same version as the worker."""
    return os.environ.get("PUPITRE_PYTHON", sys.executable)


def worker_path() -> str:
    """$PUPITRE_WORKER, else the one installed beside our own interpreter, else the newest of the build trees."""
    named = os.environ.get("PUPITRE_WORKER")
    if named:
        return named
    installed = Path(sys.prefix, "libexec", "pupitre", "pupitre-worker")
    if installed.exists():
        return str(installed)
    root = HERE.parent.parent / "build"
    found = sorted(root.glob("*/kernel/worker/pupitre-worker"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise FileNotFoundError(f"no pupitre-worker under {root}: build it, or set PUPITRE_WORKER")
    return str(found[-1])


@dataclass
class Frame:
    type: int
    flags: int
    serial: int
    position: int
    parts: list[bytes]

    @property
    def content(self) -> dict[str, Any]:
        """The content of a REPLY (part 1), a PUBLISH (part 4), or the only part of the others."""
        index = {REPLY: 1, PUBLISH: 4}.get(self.type, 0)
        content: dict[str, Any] = json.loads(self.parts[index])
        return content


@dataclass
class Record:
    end: int  # ring position behind it
    serial: int
    stream: int
    text: str


def encode(type: int, flags: int, serial: int, parts: list[bytes]) -> bytes:
    sizes = struct.pack(f"={len(parts)}I", *map(len, parts))
    return HEADER.pack(MAGIC, type, flags, serial, len(parts), 0) + sizes + b"".join(parts)


@dataclass
class Front:
    """A running worker. Use as a context manager; it is gone afterwards, with its whole process group."""

    environ: dict[str, str] = field(default_factory=dict)
    package: Path = HERE / "standin"
    drains: bool = True  # read the ring while waiting for frames

    def __post_init__(self) -> None:
        self.records: list[Record] = []
        self.received = bytearray()
        self.serial = 0
        self.status: int | None = None
        self.output = tempfile.TemporaryFile()  # noqa: SIM115 - descriptors 1 and 2, closed by __exit__
        self.link, link = socket.socketpair()
        self.lifeline, lifeline = socket.socketpair()
        self.bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        memfd = os.memfd_create("pupitre")
        os.ftruncate(memfd, SHARED_SIZE)
        self.shared = mmap.mmap(memfd, SHARED_SIZE)
        struct.pack_into("=II", self.shared, 0, STATE_MAGIC, 1)
        self.crash = tempfile.TemporaryFile()  # noqa: SIM115 - the last words, closed by __exit__
        self.answers, answers = socket.socketpair()
        handed_down = [link, self.bell, memfd, lifeline, self.crash, answers]
        self.pid = self._spawn([one if isinstance(one, int) else one.fileno() for one in handed_down])
        self.pidfd = os.pidfd_open(self.pid)
        os.close(memfd)
        link.close()
        lifeline.close()
        answers.close()
        self.arm(1)

    def _spawn(self, handed_down: list[int]) -> int:
        import fcntl

        environ = {**os.environ, "PUPITRE_PYTHON": python_path(), "PYTHONPATH": str(self.package), **self.environ}
        path = worker_path()
        pid = os.fork()
        if pid == 0:
            try:
                os.setsid()
                high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 300) for fd in handed_down]
                null = os.open("/dev/null", os.O_RDWR)
                os.dup2(null, 0)
                os.dup2(self.output.fileno(), 1)
                os.dup2(self.output.fileno(), 2)
                for number, fd in enumerate(high, 3):
                    os.dup2(fd, number)
                os.closerange(9, 1000)
                os.execve(path, [path], environ)
            finally:
                os._exit(127)
        return pid

    def __enter__(self) -> "Front":
        return self

    def __exit__(self, *exception: object) -> None:
        if self.status is None:
            try:
                os.killpg(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                os.kill(self.pid, signal.SIGKILL)
            self.wait()
        for fd in (self.bell, self.pidfd):
            os.close(fd)
        self.link.close()
        self.answers.close()
        self.lifeline.close()
        self.output.close()
        self.crash.close()
        self.shared.close()

    def last_words(self) -> str:
        """What faulthandler wrote."""
        self.crash.seek(0)
        return self.crash.read().decode(errors="replace")

    def text(self) -> str:
        """What was written to descriptors 1 and 2."""
        self.output.seek(0)
        return self.output.read().decode(errors="replace")

    def wait(self, seconds: float = DEADLINE) -> int:
        """The worker's end: its exit status, or minus the signal."""
        if self.status is None:
            deadline = time.monotonic() + seconds
            poll = select.poll()
            poll.register(self.pidfd, select.POLLIN)
            poll.register(self.bell, select.POLLIN)
            while not any(fd == self.pidfd for fd, _ in poll.poll(100)):
                self.drain()
                assert time.monotonic() < deadline, f"the worker lives on: {self.text()}"
            self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            self.drain()
        return self.status

    def word(self, name: str) -> int:
        value: int = struct.unpack_from("=I", self.shared, WORDS[name])[0]
        return value

    def set_word(self, name: str, value: int) -> None:
        struct.pack_into("=I", self.shared, WORDS[name], value)

    def fault_address(self) -> int:
        value: int = struct.unpack_from("=Q", self.shared, FAULT_ADDRESS)[0]
        return value

    def wait_word(self, name: str, value: int) -> None:
        """Wait until a word of the state page has a value; it has no bell of its own."""
        deadline = time.monotonic() + DEADLINE
        while self.word(name) != value:
            assert time.monotonic() < deadline, f"{name} is {self.word(name)}, not {value}: {self.text()}"
            select.select([], [], [], 0.001)

    def arm(self, size: int) -> None:
        struct.pack_into("=I", self.shared, BELL_AT, size)

    def _copy(self, at: int, size: int) -> bytes:
        data, offset = 2 * PAGE, at % RING_SIZE
        first = min(size, RING_SIZE - offset)
        return self.shared[data + offset : data + offset + first] + self.shared[data : data + size - first]

    def drain(self) -> None:
        """Take everything out of the ring."""
        try:
            os.eventfd_read(self.bell)
        except BlockingIOError:
            pass
        self.arm(1)
        head, tail = (struct.unpack_from("=Q", self.shared, at)[0] for at in (HEAD, TAIL))
        while tail < head:
            size, serial, stream = RECORD.unpack(self._copy(tail, RECORD.size))
            text = self._copy(tail + RECORD.size, size).decode(errors="surrogatepass")
            tail += RECORD.size + size
            self.records.append(Record(tail, serial, stream, text))
        struct.pack_into("=Q", self.shared, TAIL, tail)
        if struct.unpack_from("=I", self.shared, WAITING)[0]:
            struct.pack_into("=I", self.shared, WAITING, 0)
            futex = ctypes.c_uint32.from_buffer(self.shared, ROOM_FUTEX)
            futex.value += 1
            libc.syscall(SYS_FUTEX, ctypes.byref(futex), FUTEX_WAKE, 1, None, None, 0)
            del futex

    def printed(self, serial: int | None = None, stream: int = 1) -> str:
        self.drain()
        wanted = [r for r in self.records if r.stream == stream and serial in (None, r.serial)]
        return "".join(r.text for r in wanted)

    def wait_printed(self, text: str, serial: int | None = None, stream: int = 1) -> None:
        """Wait until `text` is among what was printed."""
        deadline = time.monotonic() + DEADLINE
        while text not in self.printed(serial, stream):
            assert time.monotonic() < deadline, f"{text!r} is not printed: {self.text()}"
            select.select([self.bell], [], [], 0.1)

    def _send_all(self, frames: bytes) -> None:
        self.link.settimeout(DEADLINE)
        self.link.sendall(frames)

    def send(self, type: int, serial: int, parts: list[bytes]) -> None:
        self._send_all(encode(type, 0, serial, parts))

    def start(self, *codes: str) -> Frame:
        """Send START and, in the same breath, a request for each code, from serial 1 on. The worker's HELLO."""
        start = {"version": "0.1.0", "connection_file": "", "argv": ["x", "-f", "y"], "arguments": [], "session": "s"}
        requests = [self._request(code) for code in codes]
        self._send_all(encode(START, 0, 0, [json.dumps(start).encode()]) + b"".join(requests))
        hello = self.receive()
        assert hello.type == HELLO
        return hello

    def _request(self, code: str, how: str = "user", msg_type: str = "execute_request") -> bytes:
        self.serial += 1
        header = json.dumps({"msg_id": str(self.serial), "msg_type": msg_type}).encode()
        content = json.dumps({"code": code, "how": how}).encode()
        return encode(REQUEST, 0, self.serial, [msg_type.encode(), header, b"{}", b"{}", content, b"id"])

    def ask(self, code: str, how: str = "user", msg_type: str = "execute_request") -> int:
        """Send a request; its serial."""
        self._send_all(self._request(code, how, msg_type))
        return self.serial

    def _take(self) -> Frame | None:
        if len(self.received) < HEADER.size:
            return None
        magic, type, flags, serial, count, position = HEADER.unpack_from(self.received)
        assert magic == MAGIC
        begin = HEADER.size + 4 * count
        if len(self.received) < begin:
            return None
        sizes = struct.unpack_from(f"={count}I", self.received, HEADER.size)
        if len(self.received) < begin + sum(sizes):
            return None
        parts = []
        for size in sizes:
            parts.append(bytes(self.received[begin : begin + size]))
            begin += size
        del self.received[:begin]
        return Frame(type, flags, serial, position, parts)

    def receive(self, seconds: float = DEADLINE) -> Frame:
        """The next frame from the worker."""
        deadline = time.monotonic() + seconds
        while (frame := self._take()) is None:
            left = deadline - time.monotonic()
            assert left > 0, f"no frame in time; the worker said: {self.text()}"
            watched = [self.link.fileno(), self.bell] if self.drains else [self.link.fileno()]
            ready = select.select(watched, [], [], left)[0]
            if self.bell in ready:
                self.drain()
            if self.link.fileno() in ready:
                data = self.link.recv(1 << 20)
                assert data, f"the worker closed the link: {self.text()}"
                self.received += data
        return frame

    def reply(self, serial: int) -> Frame:
        """The answer to a request, which must be the next frame."""
        frame = self.receive()
        assert (frame.type, frame.serial) == (REPLY, serial), frame
        return frame

    def run(self, code: str, how: str = "user") -> dict[str, Any]:
        """Run code; the content of the reply."""
        return self.reply(self.ask(code, how)).content

    def value(self, expression: str) -> str:
        """repr of an expression in the student's namespace."""
        content = self.run(f"result = ({expression})")
        assert content["status"] == "ok", content
        result: str = content["result"]
        return result

    def interrupt(self) -> None:
        os.kill(self.pid, signal.SIGINT)

    def exit(self) -> int:
        self.send(EXIT, 0, [])
        assert self.receive().type == BYE
        return self.wait()
