# SPDX-License-Identifier: BSD-3-Clause
"""A Jupyter client in the standard library: shell and iopub of one kernel over ipc, as much of ZeroMQ's protocol (ZMTP
3.0, NULL mechanism) as that takes.

For `pupitre capacity`, which runs where Pupitre is installed and pyzmq may not be. What kernels publish is read, so
that nothing piles up in them, and thrown away.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import selectors
import socket
import time
import uuid
from typing import Any

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
MORE, LONG, COMMAND = 1, 2, 4  # bits of a frame's flags
DELIMITER = b"<IDS|MSG>"
RETRY_SECONDS = 0.02  # while nobody listens yet
CHUNK = 1 << 18  # bytes


class NoAnswer(Exception):
    """A kernel did not do in time what was asked of it; the text says what."""


def frame(body: bytes, flags: int = 0) -> bytes:
    """One frame on the wire."""
    if len(body) < 256:
        return bytes((flags, len(body))) + body
    return bytes((flags | LONG,)) + len(body).to_bytes(8, "big") + body


class Frames:
    """Takes bytes as they come, gives frames: (flags, body)."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        self._buffer += data
        found = []
        at = 0
        while len(self._buffer) >= at + 2:
            flags = self._buffer[at]
            head = 9 if flags & LONG else 2
            if len(self._buffer) < at + head:
                break
            size = int.from_bytes(self._buffer[at + 1 : at + head], "big")
            if len(self._buffer) < at + head + size:
                break
            found.append((flags, bytes(self._buffer[at + head : at + head + size])))
            at += head + size
        del self._buffer[:at]
        return found


class Channel:
    """One ZMTP connection; connecting waits until somebody listens."""

    def __init__(self, path: str, socket_type: bytes, deadline: float) -> None:
        """`deadline` is of time.monotonic. Raises NoAnswer."""
        self.socket = self._connect(path, deadline)
        self._frames = Frames()
        self._parts: list[bytes] = []
        try:
            self.socket.settimeout(max(0.01, deadline - time.monotonic()))
            ready = b"\x05READY\x0bSocket-Type" + len(socket_type).to_bytes(4, "big") + socket_type
            self.socket.sendall(GREETING + frame(ready, COMMAND))
            greeting = b""
            while len(greeting) < len(GREETING):
                chunk = self.socket.recv(len(GREETING) - len(greeting))
                if not chunk:
                    raise NoAnswer("the kernel hung up")
                greeting += chunk
            self.socket.settimeout(None)
        except OSError as error:
            self.socket.close()
            raise NoAnswer(f"the kernel does not speak: {error}") from None
        except NoAnswer:
            self.socket.close()
            raise

    @staticmethod
    def _connect(path: str, deadline: float) -> socket.socket:
        while True:
            made = socket.socket(socket.AF_UNIX)
            try:
                made.connect(path)
                return made
            except OSError as error:
                made.close()
                if time.monotonic() > deadline:
                    raise NoAnswer(f"the kernel does not listen: {error.strerror}") from None
            time.sleep(RETRY_SECONDS)

    def send(self, *parts: bytes) -> None:
        last = len(parts) - 1
        self.socket.sendall(b"".join(frame(part, MORE if i < last else 0) for i, part in enumerate(parts)))

    def receive(self) -> list[list[bytes]]:
        """What one read brings, as messages of frames; none may be complete. Raises NoAnswer at the end."""
        try:
            data = self.socket.recv(CHUNK)
        except OSError as error:
            raise NoAnswer(f"the kernel is gone: {error.strerror}") from None
        if not data:
            raise NoAnswer("the kernel is gone")
        messages = []
        for flags, body in self._frames.feed(data):
            if flags & COMMAND:
                if body.startswith(b"\x04PING"):
                    self.socket.sendall(frame(b"\x04PONG" + body[7:], COMMAND))
                continue
            self._parts.append(body)
            if not flags & MORE:
                messages.append(self._parts)
                self._parts = []
        return messages


class Client:
    """Asks one kernel, one request after the other. A context manager."""

    def __init__(self, prefix: str, key: str, seconds: float) -> None:
        """`prefix`: the "ip" of the connection file; shell_port is 1, iopub_port 2. Raises NoAnswer."""
        deadline = time.monotonic() + seconds
        self._key = key.encode()
        self._session = uuid.uuid4().hex
        self._selector = selectors.DefaultSelector()
        self._channels: list[Channel] = []
        try:
            self._shell = self._open(f"{prefix}-1", b"DEALER", deadline)
            self._open(f"{prefix}-2", b"SUB", deadline).send(b"\x01")  # subscribe to everything
        except NoAnswer:
            self.close()
            raise

    def _open(self, path: str, socket_type: bytes, deadline: float) -> Channel:
        channel = Channel(path, socket_type, deadline)
        self._channels.append(channel)
        self._selector.register(channel.socket, selectors.EVENT_READ, channel)
        return channel

    def ask(self, message_type: str, content: dict[str, Any], seconds: float) -> dict[str, Any]:
        """The content of the reply. Raises NoAnswer."""
        message_id = uuid.uuid4().hex
        header = {"msg_id": message_id, "session": self._session, "username": "", "msg_type": message_type}
        header |= {"version": "5.3", "date": "2026-01-01T00:00:00.000000Z"}
        parts = [json.dumps(header).encode(), b"{}", b"{}", json.dumps(content).encode()]
        signature = hmac.new(self._key, b"".join(parts), hashlib.sha256).hexdigest().encode()
        self._shell.send(DELIMITER, signature, *parts)
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            for key, _ in self._selector.select(left):
                for message in key.data.receive():
                    if key.data is self._shell and (reply := self._reply(message, message_id)) is not None:
                        return reply
        raise NoAnswer(f"no answer in {seconds:.0f} s")

    @staticmethod
    def _reply(message: list[bytes], message_id: str) -> dict[str, Any] | None:
        at = message.index(DELIMITER)
        if (json.loads(message[at + 3]) or {}).get("msg_id") != message_id:
            return None
        content: dict[str, Any] = json.loads(message[at + 5])
        return content

    def drain(self) -> None:
        """Read what was published meanwhile. Raises NoAnswer when the kernel is gone."""
        while ready := self._selector.select(0):
            for key, _ in ready:
                key.data.receive()

    def close(self) -> None:
        self._selector.close()
        for channel in self._channels:
            channel.socket.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
