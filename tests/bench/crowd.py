# SPDX-License-Identifier: BSD-3-Clause
"""Many kernels of a kind at once, and one client for all of them.

The client shares the processors with what it measures, so it is kept small: one socket for the shell channels of all
kernels and one for their iopub, over ipc; a kernel is connected to when the file of its socket appears. A kernel that
knows no ipc gets tcp. What the client itself takes is measured and told (`client_seconds`).
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import zmq

from .nursery import is_born
from .peers import (
    OURS,
    PORTS,
    Kind,
    available_mb,
    command,
    descendants_of,
    environment,
    free_ports,
    private_mb,
    workers,
)
from .wire import DELIMITER, NoAnswer, Signer, execute_content

SHELL, IOPUB = PORTS.index("shell_port"), PORTS.index("iopub_port")
RUNTIME = "/dev/shm"  # sockets and connection files lie in memory, as below XDG_RUNTIME_DIR
LOOK_MS = 2  # how often the client looks for new sockets while kernels start
SPARE_MB = 2000  # of memory, which a crowd leaves to the rest of the machine
END_SECONDS = 30.0
TCP_ONLY = ("xeus-python",)


@dataclass
class Outcome:
    """What came back: seconds from a request to its reply, by message id."""

    asked: dict[str, float] = field(default_factory=dict)  # when it was sent, or due
    replies: dict[str, float] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    idles: int = 0
    results: int = 0

    def missing(self) -> int:
        return len(self.asked) - len(self.replies)

    def last(self) -> float:
        return max(self.replies.values())

    def at(self, share: float) -> float:
        """A quantile: 0.99 is what 99 of 100 did not exceed."""
        return sorted(self.replies.values())[min(len(self.replies) - 1, int(len(self.replies) * share))]

    def middle(self) -> float:
        return median(self.replies.values())


class Crowd:
    """`count` kernels, not started yet. A context manager: leaving it ends them all."""

    def __init__(self, kind: Kind, home: Path, count: int) -> None:
        self.kind, self.count, self._home = kind, count, home
        self.processes: dict[int, subprocess.Popen[bytes]] = {}
        self._folder = tempfile.TemporaryDirectory(
            prefix="pupitre-", dir=RUNTIME if os.access(RUNTIME, os.W_OK) else home
        )
        self._ports = free_ports(len(PORTS) * count) if kind.name in TCP_ONLY else []
        self._key = uuid.uuid4().hex
        self._signer = Signer(self._key)
        allow_files(8 * count + 200)
        self._context = zmq.Context()
        self._context.set(zmq.MAX_SOCKETS, 4 * count + 100)
        self._shell = self._socket(zmq.ROUTER)
        self._iopub: zmq.Socket[bytes] | None = None
        self._waiting: dict[int, str] = {}  # code for kernels that have no socket yet
        self._connected: set[int] = set()
        self.outcome = Outcome()
        self._processor = time.process_time()

    def _socket(self, kind: int) -> zmq.Socket[bytes]:
        made = self._context.socket(kind)
        made.linger = 0
        for option, value in ((zmq.RECONNECT_IVL, 10), (zmq.SNDHWM, 0), (zmq.RCVHWM, 0)):  # ms, unlimited, unlimited
            made.setsockopt(option, value)
        if kind == zmq.SUB:
            made.subscribe(b"")
        return made

    def _endpoint(self, kernel: int, port: int) -> str:
        """Of the channel that has this number in PORTS."""
        if self._ports:
            return f"tcp://127.0.0.1:{self._ports[kernel * len(PORTS) + port]}"
        return f"ipc://{self._folder.name}/{kernel}-{port + 1}"

    # --- starting ---

    def start(self, code: str, seconds: float, kernels: Iterable[int] | None = None) -> Outcome:
        """Start these (all) in one instant, each to run `code`, and wait for the last reply or the deadline.

        The seconds of the outcome are since the first was started."""
        wanted = list(range(self.count) if kernels is None else kernels)
        files = [self._connection_file(kernel) for kernel in wanted]
        self.outcome = Outcome()
        surroundings = environment(self.kind, self._home)
        quiet = subprocess.DEVNULL
        begun = time.perf_counter()
        for kernel, file in zip(wanted, files, strict=True):
            self._waiting[kernel] = code
            words = command(self.kind, file)
            self.processes[kernel] = subprocess.Popen(
                words, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True, env=surroundings, cwd=self._home
            )
        while time.perf_counter() < begun + seconds and not self._all_ended(wanted):
            self._connect_new(begun)
            if not self._waiting and not self.outcome.missing():
                break
            self._take(LOOK_MS)
        for kernel in self._waiting:
            self.outcome.asked[f"{kernel} never listened"] = begun
        self._waiting.clear()
        return self.outcome

    def _connection_file(self, kernel: int) -> Path:
        facts: dict[str, object] = {port: number for number, port in enumerate(PORTS, 1)}
        facts |= {"transport": "ipc", "ip": f"{self._folder.name}/{kernel}", "key": self._key}
        if self._ports:
            ports = self._ports[kernel * len(PORTS) :]
            facts |= dict(zip(PORTS, ports, strict=False)) | {"transport": "tcp", "ip": "127.0.0.1"}
        file = Path(self._folder.name) / f"{kernel}.json"
        file.touch(mode=0o600)
        file.write_text(json.dumps(facts | {"signature_scheme": "hmac-sha256", "kernel_name": "bench"}))
        return file

    def _connect_new(self, begun: float) -> None:
        """Connect to every shell whose file is there by now, and say what waits for it."""
        if not self._waiting:
            return
        with os.scandir(self._folder.name) as entries:
            names = {entry.name for entry in entries}
        for kernel in [kernel for kernel in self._waiting if self._ports or f"{kernel}-{SHELL + 1}" in names]:
            self._shell.setsockopt(zmq.CONNECT_ROUTING_ID, str(kernel).encode())
            self._shell.connect(self._endpoint(kernel, SHELL))
            self._connected.add(kernel)
            self.send(kernel, self._waiting.pop(kernel), begun)

    def _all_ended(self, kernels: list[int]) -> bool:
        return all(self.processes[kernel].poll() is not None for kernel in kernels)

    def listen(self) -> None:
        """Subscribe to the iopub of every kernel; returns when all subscriptions are in effect. NoAnswer."""
        self._iopub = self._socket(zmq.SUB)
        for kernel in self._connected:
            self._iopub.connect(self._endpoint(kernel, IOPUB))
        deadline = time.monotonic() + END_SECONDS
        while time.monotonic() < deadline:
            self.ask("pass", END_SECONDS)
            self.take_until(self._all_idle, 1.0)
            if self._all_idle():
                return
        raise NoAnswer("not all publish")

    def _all_idle(self) -> bool:
        return self.outcome.idles >= len(self.outcome.asked)

    # --- asking ---

    def send(self, kernel: int, code: str, due: float | None = None) -> None:
        """Ask a connected kernel to execute; the answer goes into `outcome`, counted from `due` (now)."""
        message_id, frames = self._signer.encode("execute_request", execute_content(code))
        self.outcome.asked[message_id] = due if due is not None else time.perf_counter()
        self._shell.send_multipart([str(kernel).encode(), *frames])

    def ask(self, code: str, seconds: float) -> Outcome:
        """Ask every kernel at once, wait for the last reply or the deadline."""
        self.outcome = outcome = Outcome()
        for kernel in sorted(self._connected):
            self.send(kernel, code)
        self.take_until(lambda: not outcome.missing(), seconds)
        return outcome

    def take_until(self, done: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not done() and time.monotonic() < deadline:
            self._take(50)

    def take_until_time(self, due: float) -> None:
        """Take what comes until that instant of time.perf_counter."""
        while (left := due - time.perf_counter()) > 0:
            self._take(left * 1000)

    def _take(self, milliseconds: float) -> None:
        """Wait that long for something, then take all that is there."""
        sockets = [(one, zmq.POLLIN) for one in (self._shell, self._iopub) if one is not None]
        zmq.zmq_poll(sockets, max(0, int(milliseconds)))
        now = time.perf_counter()
        for one, _ in sockets:
            with contextlib.suppress(zmq.Again):
                while True:
                    self._note(one is self._shell, one.recv_multipart(zmq.NOBLOCK), now)

    def _note(self, is_reply: bool, frames: list[bytes], now: float) -> None:
        at = frames.index(DELIMITER)
        message_id = (json.loads(frames[at + 3]) or {}).get("msg_id")
        asked = self.outcome.asked.get(message_id)
        if asked is None:
            return
        if is_reply:
            self.outcome.replies[message_id] = now - asked
            content = json.loads(frames[at + 5])
            if content["status"] != "ok":
                self.outcome.errors.append(f"{content.get('ename')}: {content.get('evalue')}")
            return
        kind = json.loads(frames[at + 2])["msg_type"]
        self.outcome.results += kind == "execute_result"
        self.outcome.idles += kind == "status" and b'"idle"' in frames[at + 5]

    # --- looking and ending ---

    def client_seconds(self) -> float:
        """Processor time of the client since the crowd was made."""
        return time.process_time() - self._processor

    def refuse_cold(self) -> None:
        """NoAnswer unless every worker that should have been forked by a nursery was."""
        if self.kind.name == OURS[0] and self.kind.nursery != "off":
            cold = sum(not is_born(process.pid) for process in self.processes.values())
            if cold:
                raise NoAnswer(f"{cold} of {len(self.processes)} started cold")

    def private_mb(self, kernel: int) -> float:
        """Private MB of all processes of one kernel."""
        front = self.processes[kernel].pid
        return sum(
            private_mb(pid) for pid in descendants_of([front, *(workers(front) if self.kind.name in OURS else [])])
        )

    def pids(self) -> list[int]:
        """Every process of every kernel."""
        roots = [process.pid for process in self.processes.values() if process.poll() is None]
        watched = [worker for root in roots for worker in workers(root)] if self.kind.name in OURS else []
        return descendants_of([*roots, *watched])

    def close(self) -> None:
        self._context.destroy(linger=0)
        for pid in reversed(self.pids()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for process in self.processes.values():
            process.wait(timeout=END_SECONDS)
        self._folder.cleanup()

    def __enter__(self) -> Crowd:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def allow_files(wanted: int) -> None:
    """Raise this process's soft limit of descriptors, as far as the hard one lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))


def refuse_too_many(kind_mb: float, count: int) -> None:
    """NoAnswer when that many kernels of that size do not fit beside what runs."""
    room = available_mb() - SPARE_MB
    if kind_mb * count > room:
        raise NoAnswer(f"does not fit: {count} x {kind_mb:.0f} MB into {room / 1024:.1f} GB")
