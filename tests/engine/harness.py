# SPDX-License-Identifier: BSD-3-Clause
"""Plays the front for the engine: sends requests through the fake door, runs the loop until the answer, sorts what came
out.
"""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fake import Frame, door
from pupitre import engine as engine_module
from pupitre import parent
from pupitre.loop import Loop
from pupitre.streams import OutStream

DEADLINE = 10.0  # seconds for one request


@dataclass
class Message:
    """A PUBLISH frame, or text from the ring as the stream message that the front makes of it."""

    type: str
    content: dict[str, Any]
    serial: int
    topic: bytes = b""
    parent: bytes = b""
    metadata: dict[str, Any] = field(default_factory=dict)
    buffers: list[bytes] = field(default_factory=list)


@dataclass
class Answer:
    """What one request brought: everything published meanwhile, in order, and the reply."""

    messages: list[Message]
    reply: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    flags: int = 0

    def all(self, kind: str) -> list[dict[str, Any]]:
        return [message.content for message in self.messages if message.type == kind]

    def one(self, kind: str) -> dict[str, Any]:
        found = self.all(kind)
        assert len(found) == 1, f"{len(found)} {kind} among {self.kinds}"
        return found[0]

    @property
    def kinds(self) -> list[str]:
        """The types of what was published, in order; runs of stream text are one entry."""
        kinds: list[str] = []
        for message in self.messages:
            name = message.content["name"] if message.type == "stream" else message.type
            if not kinds or kinds[-1] != name or message.type != "stream":
                kinds.append(name)
        return kinds

    def text(self, name: str = "stdout") -> str:
        return "".join(content["text"] for content in self.all("stream") if content["name"] == name)


class Engine:
    """The engine under test."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.serial = 0
        self.loop = Loop()
        self.streams = OutStream(1), OutStream(2)
        with self.our_streams():
            self.app = engine_module.build(
                {"ident": "uuid", "session": "s", "connection_file": str(home / "c.json")}, self.loop
            )
            self.kernel = self.app.kernel
            self.shell = self.app.shell
            door.set_handler(self.kernel.handle, self.kernel.fail)
            self.app.run_startup_code()
        self.loop.add_our_reader(door.link_fd, door.dispatch)
        self.loop.add_our_reader(door.wake_fd, self.loop.woken)

    @contextmanager
    def our_streams(self) -> Iterator[None]:
        """sys.stdout and sys.stderr as cells have them. pytest puts its own there for each phase of a test."""
        theirs = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = self.streams
        try:
            yield
        finally:
            sys.stdout, sys.stderr = theirs

    def close(self) -> None:
        self.shell.history_manager.end_session()

    def begin_test(self) -> None:
        handler, failed = door.handler, door.failed
        door.reset()
        door.handler, door.failed = handler, failed
        parent.make_newest(parent.NOBODY)
        self.serial = 0

    def end_test(self) -> None:
        for name in [name for name in self.shell.user_ns if name.startswith("t_")]:
            del self.shell.user_ns[name]

    # Requests.

    def request(
        self,
        msg_type: str,
        content: Any = None,
        *,
        metadata: Any = None,
        buffers: tuple[bytes, ...] = (),
        during: Callable[[], Any] | None = None,
    ) -> Answer:
        """Send a request and run the loop until it is answered.

        `during` is called from the loop shortly after the start.
        """
        self.serial += 1
        serial = self.serial
        header = {"msg_id": f"m{serial}", "msg_type": msg_type, "session": "client", "username": "u", "extra": 1}
        parts = [
            json.dumps(part).encode() for part in (header, {}, metadata if metadata is not None else {}, content or {})
        ]
        first = len(door.order)
        door.put((door.REQUEST, 0, serial, [msg_type.encode(), *parts, b"identity", *buffers]))
        self.run_until(lambda frame: frame[0] in (door.REPLY, door.DONE) and frame[2] == serial, during)
        return self.collect(first, serial)

    def run_until(self, ends: Callable[[Frame], bool], during: Callable[[], Any] | None = None) -> None:
        """Run the loop until a frame for which `ends` is true is sent."""
        done = False

        def look(frame: Frame) -> None:
            nonlocal done
            if ends(frame):
                done = True
                self.loop.stop()

        door.on_send = look
        deadline = self.loop.time() + DEADLINE
        late = self.loop.call_later(DEADLINE, self.loop.stop)
        if during is not None:
            self.loop.call_later(0.02, during)
        with self.our_streams():
            while not done and self.loop.time() < deadline:
                try:
                    self.loop.run_forever()
                except KeyboardInterrupt:
                    self.loop._after_interrupt()
                except SystemExit:  # of a background task; serve() goes on, too
                    continue
        late.cancel()
        door.on_send = None
        assert done, "no answer"

    def run_for(self, seconds: float) -> list[Message]:
        """Let the loop run between cells; what came out."""
        first = len(door.order)
        self.loop.call_later(seconds, self.loop.stop)
        with self.our_streams():
            self.loop.run_forever()
        return self.collect(first, 0).messages

    def collect(self, first: int, serial: int) -> Answer:
        answer = Answer([])
        for kind, *rest in door.order[first:]:
            if kind == "text":
                number, owner, text = rest
                name = "stdout" if number == 1 else "stderr"
                answer.messages.append(Message("stream", {"name": name, "text": text}, owner))
                continue
            frame_type, flags, owner, parts = rest
            if frame_type == door.PUBLISH:
                content = json.loads(parts[4])
                answer.messages.append(
                    Message(parts[0].decode(), content, owner, parts[1], parts[2], json.loads(parts[3]), parts[5:])
                )
            elif frame_type == door.REPLY and owner == serial:
                answer.flags, answer.metadata, answer.reply = flags, json.loads(parts[0]), json.loads(parts[1])
        return answer

    def execute(
        self, code: str, *, during: Callable[[], Any] | None = None, metadata: Any = None, **content: Any
    ) -> Answer:
        return self.request("execute_request", {"code": code, **content}, metadata=metadata, during=during)

    def ok(self, code: str, **content: Any) -> Answer:
        """Execute, and insist that it went well."""
        answer = self.execute(code, **content)
        assert answer.reply["status"] == "ok", answer.reply
        return answer

    def result(self, code: str, **content: Any) -> str:
        """text/plain of the result of a cell."""
        text: str = self.ok(code, **content).one("execute_result")["data"]["text/plain"]
        return text
