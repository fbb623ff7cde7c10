# SPDX-License-Identifier: BSD-3-Clause
"""The client of `pupitre capacity` against real ZeroMQ sockets."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq
from pupitre.nursery.wire import COMMAND, LONG, MORE, Client, Frames, NoAnswer, frame

DELIMITER = b"<IDS|MSG>"


def test_frames_come_out_whole_however_the_bytes_arrive() -> None:
    data = frame(b"a", MORE) + frame(b"x" * 300) + frame(b"", COMMAND)
    wanted = [(MORE, b"a"), (LONG, b"x" * 300), (COMMAND, b"")]
    for size in (1, 2, 7, 309, len(data)):
        frames = Frames()
        found = [one for at in range(0, len(data), size) for one in frames.feed(data[at : at + size])]
        assert found == wanted


class Echo:
    """A kernel of ZeroMQ sockets: publishes a lot, then replies to every request with its content."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self._context = zmq.Context()
        self._shell, self._iopub = self._context.socket(zmq.ROUTER), self._context.socket(zmq.XPUB)
        for socket, port in ((self._shell, 1), (self._iopub, 2)):
            socket.linger = 0
            socket.setsockopt(zmq.HEARTBEAT_IVL, 50)  # ms: it sends ZMTP's PING, and hangs up on who does not answer
            socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 500)
            socket.bind(f"ipc://{prefix}-{port}")
        self.subscribed = threading.Event()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        poller = zmq.Poller()
        poller.register(self._shell, zmq.POLLIN)
        poller.register(self._iopub, zmq.POLLIN)
        while not self._end.is_set():
            for socket, _ in poller.poll(20):
                frames = socket.recv_multipart()
                if socket is self._iopub:
                    if frames == [b"\x01"]:  # b"\0" when it leaves
                        self.subscribed.set()
                    continue
                at = frames.index(DELIMITER)
                for _ in range(50):
                    self._iopub.send_multipart([b"topic", b"y" * 5000])
                strange = [DELIMITER, b"", b"{}", b'{"msg_id": "of another"}', b"{}", b"{}"]
                socket.send_multipart([*frames[:at], *strange])
                socket.send_multipart([*frames[:at], DELIMITER, b"", b"{}", frames[at + 2], b"{}", frames[at + 5]])

    def close(self) -> None:
        self._end.set()
        self._thread.join(timeout=5)
        self._context.destroy(linger=0)


@pytest.fixture
def echo(tmp_path: Path) -> Iterator[Echo]:
    echo = Echo(str(tmp_path / "k"))
    yield echo
    echo.close()


def test_a_reply_is_told_from_others_and_from_what_is_published(echo: Echo) -> None:
    with Client(echo.prefix, "key", 5) as client:
        assert echo.subscribed.wait(5)
        for content in ({"n": 1}, {"text": "z" * 100_000}):
            assert client.ask("execute_request", content, 5) == content
        client.drain()


def test_heartbeats_are_answered_while_waiting(echo: Echo) -> None:
    with Client(echo.prefix, "key", 5) as client:
        with pytest.raises(NoAnswer, match="no answer in 1 s"):
            wait_for_nothing(client)
        assert client.ask("execute_request", {"still": "there"}, 5) == {"still": "there"}


def wait_for_nothing(client: Client) -> dict[str, Any]:
    """Listen for a second for the answer to something that was never asked."""
    client._shell.send = lambda *parts: None  # type: ignore[method-assign]
    try:
        return client.ask("execute_request", {}, 1)
    finally:
        del client._shell.send


def test_a_kernel_that_never_listens_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoAnswer, match="does not listen: No such file"):
        Client(str(tmp_path / "nobody"), "key", 0.1)


def test_requests_are_signed_for_this_key(tmp_path: Path) -> None:
    import hashlib
    import hmac

    context = zmq.Context()
    shell, iopub = context.socket(zmq.ROUTER), context.socket(zmq.XPUB)
    shell.bind(f"ipc://{tmp_path}/s-1")
    iopub.bind(f"ipc://{tmp_path}/s-2")
    try:
        with Client(f"{tmp_path}/s", "secret", 5) as client:
            with pytest.raises(NoAnswer):
                client.ask("kernel_info_request", {"a": 1}, 0.1)
            assert shell.poll(5000)
            _, delimiter, signature, *parts = shell.recv_multipart()
            assert delimiter == DELIMITER
            assert signature == hmac.new(b"secret", b"".join(parts), hashlib.sha256).hexdigest().encode()
            assert json.loads(parts[0])["msg_type"] == "kernel_info_request"
    finally:
        context.destroy(linger=0)
