# SPDX-License-Identifier: BSD-3-Clause
"""A nursery that does as a test wants: it listens where kernels ask, says what it is told to, makes workers by exec.

See kernel/nursery/messages.h.
"""

import os
import signal
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from launch import command
from procs import Process
from raw import DEADLINE

MAGIC, VERSION = 0x4E505550, 1
REQUEST = struct.Struct("=IHHQ32s4Q6Q")
ANSWER = struct.Struct("=IHHQiiHHIQQQ")
PAYLOAD = struct.Struct("=IIIIQQ")
START, NOTE_COLD, NOTE_DIED = 1, 6, 7
QUEUED, FORKED, REFUSED, CHANGED = 16, 17, 18, 19
OUT, ERR, LINK, BELL, SHARED, LIFELINE, CRASH, ANSWERS, PAYLOAD_FD, CWD, FD_COUNT = range(11)
FULL = 5  # a reason


def worker_program() -> Path:
    """The pupitre-worker of the kernel under test."""
    folder = Path(command()[0][0]).resolve().parent
    for place in ("../libexec/pupitre/pupitre-worker", "../worker/pupitre-worker"):
        if (folder / place).exists():
            return folder / place
    raise AssertionError(f"no pupitre-worker near {folder}")


class Birth:
    """One request, its descriptors, and the connection on which to answer it."""

    def __init__(self, connection: socket.socket, born: list[Process]) -> None:
        self.connection = connection
        self.born = born
        data, self.fds, _, _ = socket.recv_fds(connection, 1024, 64)
        fields = REQUEST.unpack(data)
        self.magic, self.version, self.op, self.id = fields[:4]

    def close(self) -> None:
        """Hang up."""
        for fd in self.fds:
            os.close(fd)
        self.fds = []
        self.connection.close()

    def payload(self) -> tuple[int, dict[bytes, bytes]]:
        """The umask and the environment that the worker is to have."""
        data = os.pread(self.fds[PAYLOAD_FD], 1 << 22, 0)
        magic, version, umask, count, size, _ = PAYLOAD.unpack_from(data)
        strings = data[PAYLOAD.size :].split(b"\0")[:-1]
        assert (magic, version) == (MAGIC, VERSION) and len(strings) == count
        assert len(data) == PAYLOAD.size + size
        pairs = [string.partition(b"=") for string in strings]
        return umask, {name: value for name, _, value in pairs}

    def say(self, op: int, pid: int = 0, status: int = 0, reason: int = 0, fds: Sequence[int] = ()) -> None:
        data = ANSWER.pack(MAGIC, VERSION, op, self.id, pid, status, reason, 0, 0, 0, 0, 0)
        try:
            socket.send_fds(self.connection, [data], list(fds))
        except BrokenPipeError:
            if op != CHANGED:  # of an end the front may have heard from the kernel, and be gone
                raise

    def make(self, *program: str) -> Process:
        """Start a program as the worker; without one, the true one."""
        arguments = program or ("pupitre-worker",)
        pid = os.posix_spawn(
            program[0] if program else worker_program(),
            arguments,
            self.payload()[1],
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                *((os.POSIX_SPAWN_DUP2, fd, number + 1) for number, fd in enumerate(self.fds[:PAYLOAD_FD])),
            ],
            setsid=True,
            setsigmask=[signal.SIGINT],
            setsigdef=[signal.SIGPIPE],
        )
        process = Process.open(pid)
        assert process
        self.born.append(process)
        return process

    def bear(self, *program: str) -> Process:
        """Start it and say so."""
        process = self.make(*program)
        self.say(FORKED, process.pid, fds=[process.pidfd])
        return process

    def reap(self, process: Process) -> int:
        """Wait for its end: the status."""
        assert process.gone(DEADLINE)
        return os.waitpid(process.pid, 0)[1]

    def wait_hang_up(self, deadline: float = DEADLINE) -> None:
        """Until the kernel has nothing more to do with us."""
        self.connection.settimeout(deadline)
        try:
            assert self.connection.recv(1) == b""
        except ConnectionResetError:  # it had not even read what we said
            pass


Behaviour = Callable[[Birth], None]


class Midwife:
    """Listens in a directory, and serves one connection after the other in a thread."""

    def __init__(self, directory: Path, behaviour: Behaviour) -> None:
        self.path = directory / "nursery.sock"
        self.behaviour = behaviour
        self.births: list[Birth] = []
        self.notes: list[int] = []  # what kernels said of themselves: the operations
        self.born: list[Process] = []
        self.failures: list[BaseException] = []
        self.served = threading.Event()  # a behaviour has returned
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(str(self.path))
        self.listener.listen(8)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self) -> None:
        while True:
            try:
                connection = self.listener.accept()[0]
            except OSError:  # shut down
                return
            try:
                connection.settimeout(DEADLINE)
                birth = Birth(connection, self.born)
                if birth.op in (NOTE_COLD, NOTE_DIED):
                    self.notes.append(birth.op)
                    birth.close()
                    continue
                self.births.append(birth)
                self.behaviour(birth)
            except BaseException as failure:
                self.failures.append(failure)
            self.served.set()

    def wait(self) -> Birth:
        """The first birth, once the behaviour has done its part."""
        assert self.served.wait(DEADLINE)
        self.check()
        return self.births[0]

    def check(self) -> None:
        for failure in self.failures:
            raise failure

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join(DEADLINE)
        self.listener.close()
        for birth in self.births:
            birth.close()
        for process in self.born:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            try:
                os.waitpid(process.pid, 0)
            except ChildProcessError:  # reaped by the test
                pass

    @property
    def env(self) -> dict[str, str]:
        """What a kernel is to be started with."""
        return {"PUPITRE_NURSERY": str(self.path)}
