# SPDX-License-Identifier: BSD-3-Clause
"""A Jupyter client that costs as little as Python allows: sockets, signatures and deadlines, no session objects.

The latency rows use it, so that what they print is the kernel's time and not the client's.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import zmq

DELIMITER = b"<IDS|MSG>"
SLICE_MS = 100  # how often a wait looks whether the kernel still lives


class NoAnswer(Exception):
    """A kernel did not do what a row waits for; the text is what the table shows."""


@dataclass
class Message:
    type: str
    parent_id: str
    content: dict[str, Any]


def execute_content(code: str, **changes: Any) -> dict[str, Any]:
    """Content of an execute_request that leaves no trace in the history."""
    content = {
        "code": code,
        "silent": False,
        "store_history": False,
        "user_expressions": {},
        "allow_stdin": False,
        "stop_on_error": False,
    }
    return content | changes


def decode(frames: list[bytes]) -> Message:
    at = frames.index(DELIMITER)
    header, parent = json.loads(frames[at + 2]), json.loads(frames[at + 3])
    return Message(header["msg_type"], (parent or {}).get("msg_id", ""), json.loads(frames[at + 5]))


class Signer:
    """Makes requests of one session."""

    def __init__(self, key: str) -> None:
        self._key = key.encode()
        self._session = uuid.uuid4().hex
        self._serials = itertools.count()

    def encode(self, message_type: str, content: dict[str, Any]) -> tuple[str, list[bytes]]:
        """A signed request and its id, ready for send_multipart: encoding is not part of any measured time."""
        message_id = f"{self._session}_{next(self._serials)}"
        header = {
            "msg_id": message_id,
            "session": self._session,
            "username": "bench",
            "msg_type": message_type,
            "version": "5.3",
            "date": "2026-01-01T00:00:00.000000Z",
        }
        parts = [json.dumps(header).encode(), b"{}", b"{}", json.dumps(content).encode()]
        signature = hmac.new(self._key, b"".join(parts), hashlib.sha256).hexdigest().encode()
        return message_id, [DELIMITER, signature, *parts]


class RawClient:
    """Shell, control and iopub of one kernel. `alive` is asked during waits: a death ends them early."""

    def __init__(self, connection: dict[str, Any], alive: Callable[[], str | None], receive_hwm: int = 0) -> None:
        self._alive = alive
        self.encode = Signer(connection["key"]).encode
        self._context = zmq.Context()
        self.shell = self._connect(zmq.DEALER, connection, "shell_port")
        self.control = self._connect(zmq.DEALER, connection, "control_port")
        self.iopub = self._connect(zmq.SUB, connection, "iopub_port", receive_hwm)

    def _connect(self, kind: int, connection: dict[str, Any], port: str, receive_hwm: int = 0) -> zmq.Socket[bytes]:
        socket = self._context.socket(kind)
        socket.linger = 0
        socket.setsockopt(zmq.RECONNECT_IVL, 2)  # ms: the start-up row must not measure libzmq's default of 100
        socket.setsockopt(zmq.RCVHWM, receive_hwm)
        if kind == zmq.SUB:
            socket.subscribe(b"")
        socket.connect(f"{connection['transport']}://{connection['ip']}:{connection[port]}")
        return socket

    def close(self) -> None:
        self._context.destroy(linger=0)

    def ask(self, message_type: str, content: dict[str, Any]) -> str:
        message_id, frames = self.encode(message_type, content)
        (self.control if message_type.startswith(("interrupt", "shutdown")) else self.shell).send_multipart(frames)
        return message_id

    def execute(self, code: str, **changes: Any) -> str:
        return self.ask("execute_request", execute_content(code, **changes))

    def receive(self, socket: zmq.Socket[bytes], seconds: float) -> list[bytes]:
        """The next message's frames. NoAnswer when the kernel dies or `seconds` pass."""
        deadline = time.monotonic() + seconds
        while not socket.poll(max(0, min(SLICE_MS, int((deadline - time.monotonic()) * 1000)))):
            death = self._alive()
            if death and not socket.poll(0):
                raise NoAnswer(death)
            if time.monotonic() >= deadline:
                raise NoAnswer(f"none in {seconds:.2g} s")
        return socket.recv_multipart()

    def reply_to(self, message_id: str, seconds: float) -> Message:
        deadline = time.monotonic() + seconds
        while True:
            message = decode(self.receive(self.shell, max(0.0, deadline - time.monotonic())))
            if message.parent_id == message_id:
                return message

    def iopub_until(self, message_id: str, wanted: Callable[[Message], bool], seconds: float) -> list[Message]:
        """This request's iopub messages up to and with the first that `wanted` says yes to."""
        deadline = time.monotonic() + seconds
        messages = []
        while True:
            message = decode(self.receive(self.iopub, max(0.0, deadline - time.monotonic())))
            if message.parent_id == message_id:
                messages.append(message)
                if wanted(message):
                    return messages

    def run(self, code: str, seconds: float = 20.0, **changes: Any) -> Message:
        """Execute, wait for reply and idle, give the reply."""
        message_id = self.execute(code, **changes)
        reply = self.reply_to(message_id, seconds)
        self.iopub_until(message_id, is_idle, seconds)
        return reply

    def settle(self, seconds: float = 30.0) -> None:
        """Wait until the kernel answers and this client's subscription has reached it."""
        self.reply_to(self.ask("kernel_info_request", {}), seconds)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            message_id = self.ask("kernel_info_request", {})
            self.reply_to(message_id, seconds)
            try:
                self.iopub_until(message_id, is_idle, 0.3)
                return
            except NoAnswer:
                if self._alive():
                    raise
        raise NoAnswer("no iopub")


def is_idle(message: Message) -> bool:
    return message.type == "status" and message.content.get("execution_state") == "idle"
