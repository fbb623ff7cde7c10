# SPDX-License-Identifier: BSD-3-Clause
"""A front end made of bare sockets: it signs, sends and receives frames itself, so that what it says about the wire is
independent of jupyter_client. Every receive has a deadline, every message is checked, and a message nobody asked for is
a failure.

Messages are claimed by parent: within one parent the order on a channel is strict, messages of other parents stay in
the inbox for whoever claims them next. `Client.verify` fails on what is left.
"""

import hashlib
import hmac
import json
import os
import re
import textwrap
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import zmq

DEADLINE = float(os.environ.get("TEST_DEADLINE", "10"))
DELIMITER = b"<IDS|MSG>"
CHANNELS = ("shell", "iopub", "stdin", "control", "hb")
DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")

Content = dict[str, Any]


def _package() -> str:
    """How the path of a file of the kernel's package ends but for its name, in a traceback."""
    found = find_spec("pupitre")
    return "" if found is None or not found.origin else "/".join(found.origin.split("/")[-4:-1]) + "/"


PACKAGE = _package()


def block(text: str) -> str:
    """Code written as an indented block."""
    return textwrap.dedent(text).strip("\n")


def murmur2(data: bytes, seed: int = 0xC70F6907) -> int:
    """What the file of a cell is called by: of its source, with ipykernel's seed."""
    m, mask = 0x5BD1E995, 0xFFFFFFFF
    h = seed ^ len(data)
    whole = len(data) & ~3
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little") * m & mask
        k = (k ^ (k >> 24)) * m & mask
        h = (h * m & mask) ^ k
    if tail := data[whole:]:
        h = (h ^ int.from_bytes(tail, "little")) * m & mask
    h = (h ^ (h >> 13)) * m & mask
    return h ^ (h >> 15)


def _no_constants(name: str) -> Any:
    raise AssertionError(f"{name} is not JSON")


def decode(frame: bytes) -> Any:
    """Strict JSON: UTF-8, no NaN, no Infinity."""
    return json.loads(frame.decode(), parse_constant=_no_constants)


def encode(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")


@dataclass
class Message:
    """One message as it came, its signature and header already checked."""

    channel: str
    identities: list[bytes]
    header: Content
    parent: Content
    metadata: Content
    content: Content
    buffers: list[bytes]
    frames: list[bytes]
    received: float

    @property
    def type(self) -> str:
        return str(self.header["msg_type"])

    @property
    def parent_id(self) -> str | None:
        return self.parent.get("msg_id")

    @property
    def state(self) -> str | None:
        return self.content.get("execution_state") if self.type == "status" else None

    def __str__(self) -> str:
        text = json.dumps(self.content, ensure_ascii=True)
        of = f"{self.parent.get('msg_type', '-')} {str(self.parent_id)[-12:]}"
        return f"{self.channel} < {self.type} of {of}: {text[:400]}{'…' if len(text) > 400 else ''}"


@dataclass
class Result:
    """Everything one request brought: the reply, and what iopub said between busy and idle."""

    reply: Message
    messages: list[Message]
    busy: Message
    idle: Message

    @property
    def content(self) -> Content:
        return self.reply.content

    @property
    def status(self) -> str:
        return str(self.content["status"])

    @property
    def count(self) -> int:
        return int(self.content["execution_count"])

    def types(self) -> list[str]:
        """Message types in order; neighbouring stream chunks of one name count once, as stdout or stderr."""
        types: list[str] = []
        for message in self.messages:
            name = message.content["name"] if message.type == "stream" else message.type
            if message.type != "stream" or types[-1:] != [name]:
                types.append(name)
        return types

    def all(self, msg_type: str) -> list[Message]:
        return [message for message in self.messages if message.type == msg_type]

    def one(self, msg_type: str) -> Message:
        found = self.all(msg_type)
        assert len(found) == 1, f"{len(found)} {msg_type} messages instead of one; got {self.types()}"
        return found[0]

    def stream(self, name: str) -> str:
        return "".join(message.content["text"] for message in self.all("stream") if message.content["name"] == name)

    @property
    def stdout(self) -> str:
        return self.stream("stdout")

    @property
    def stderr(self) -> str:
        return self.stream("stderr")

    @property
    def data(self) -> Content:
        """The MIME bundle of the one execute_result."""
        bundle: Content = self.one("execute_result").content["data"]
        return bundle

    @property
    def text(self) -> str:
        return str(self.data["text/plain"])

    @property
    def error(self) -> Content:
        return self.one("error").content

    @property
    def traceback(self) -> str:
        """The error's traceback as plain text."""
        return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(self.error["traceback"]))


@dataclass
class Connection:
    """What a connection file says."""

    transport: str = "ipc"
    ip: str = ""
    ports: dict[str, int] = field(default_factory=dict)
    key: bytes = b""
    scheme: str = "hmac-sha256"

    @classmethod
    def of(cls, content: Content) -> "Connection":
        ports = {channel: int(content[f"{channel}_port"]) for channel in CHANNELS}
        scheme = content.get("signature_scheme", "hmac-sha256")
        ip, key = content.get("ip", "127.0.0.1"), content.get("key", "")
        return cls(content.get("transport", "tcp"), ip, ports, key.encode(), scheme)

    def picked(self) -> bool:
        return all(self.ports.get(channel) for channel in CHANNELS)

    def endpoint(self, channel: str) -> str:
        separator = ":" if self.transport == "tcp" else "-"
        ip = f"[{self.ip}]" if self.is_ipv6() else self.ip
        return f"{self.transport}://{ip}{separator}{self.ports[channel]}"

    def is_ipv6(self) -> bool:
        return self.transport == "tcp" and ":" in self.ip

    def sign(self, parts: Sequence[bytes]) -> bytes:
        if not self.key:
            return b""
        digest = hmac.new(self.key, digestmod=getattr(hashlib, self.scheme.removeprefix("hmac-")))
        for part in parts:
            digest.update(part)
        return digest.hexdigest().encode()


class Client:
    """One front end: DEALER sockets for shell, control and stdin under one identity, a SUB socket for iopub.

    `dead` tells whether the kernel has ended; waiting then stops early. `trace` collects one line per message.
    `hwm`: how many messages libzmq may take off the wire while nobody calls receive; 0 = all. `stdin`: open it, too.
    `shows_inside`: outputs may name files of the kernel. Messages whose parent is another session's request are that
    client's business, not kept unless `all_sessions`.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        identity: bytes | None = None,
        session: str | None = None,
        topic: bytes | None = b"",
        trace: list[str] | None = None,
        dead: Callable[[], bool] = lambda: False,
        all_sessions: bool = False,
        hwm: int = 0,
        shows_inside: bool = False,
        stdin: bool = True,
    ) -> None:
        self.connection = connection
        self.session = session or str(uuid.uuid4())
        self.identity = self.session.encode() if identity is None else identity
        self.trace = trace if trace is not None else []
        self.dead = dead
        self.topic = topic
        self.hwm = hwm
        self.all_sessions = all_sessions
        self.shows_inside = shows_inside
        self.inbox: list[Message] = []
        self.replies: dict[str, int] = {}
        self.sockets: dict[str, zmq.Socket[bytes]] = {}
        self.channels_of: dict[str, str] = {}
        self.count = 0
        for channel in ("shell", "control", *(["stdin"] if stdin else [])):
            self.open(channel)
        if topic is not None:
            self.open("iopub")
            self.sockets["iopub"].subscribe(topic)

    # -- sockets ---

    def open(self, channel: str) -> "zmq.Socket[bytes]":
        kinds = {"iopub": zmq.SUB, "hb": zmq.REQ}
        socket: zmq.Socket[bytes] = zmq.Context.instance().socket(kinds.get(channel, zmq.DEALER))
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RECONNECT_IVL, 5)
        socket.setsockopt(zmq.RCVHWM, self.hwm)
        socket.setsockopt(zmq.IPV6, self.connection.is_ipv6())
        if channel in ("shell", "control", "stdin"):
            socket.setsockopt(zmq.IDENTITY, self.identity)
        if channel == "stdin":
            socket.setsockopt(zmq.IMMEDIATE, 1)  # so that it can be told when the kernel has it: wait_stdin()
        socket.connect(self.connection.endpoint(channel))
        self.sockets[channel] = socket
        return socket

    def wait_stdin(self) -> None:
        """Return when the kernel has the stdin channel; the others tell by an answer."""
        assert self.sockets["stdin"].poll(DEADLINE * 1000, zmq.POLLOUT), "the kernel does not take the stdin channel"

    def close(self) -> None:
        for socket in self.sockets.values():
            socket.close(0)
        self.sockets = {}

    def heartbeat(self, payload: Sequence[bytes] = (b"ping",), deadline: float = DEADLINE) -> float:
        """Seconds until the echo came."""
        socket = self.sockets.get("hb") or self.open("hb")
        begin = time.monotonic()
        socket.send_multipart(list(payload))
        assert socket.poll(int(deadline * 1000)), f"no heartbeat within {deadline} s"
        assert socket.recv_multipart() == list(payload)
        return time.monotonic() - begin

    # -- sending ---

    def header(self, msg_type: str, **more: Any) -> Content:
        self.count += 1
        date = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + f".{time.time_ns() // 1000 % 1000000:06d}Z"
        header = {
            "msg_id": f"{self.session}_{self.count}",
            "msg_type": msg_type,
            "session": self.session,
            "username": "tester",
            "date": date,
            "version": "5.4",
        }
        return {**header, **more}

    def frames(
        self,
        header: Content | bytes,
        content: Content | bytes,
        *,
        metadata: Content | bytes = b"{}",
        parent: Content | bytes = b"{}",
        buffers: Sequence[bytes] = (),
        identities: Sequence[bytes] = (),
    ) -> list[bytes]:
        parts = [part if isinstance(part, bytes) else encode(part) for part in (header, parent, metadata, content)]
        return [*identities, DELIMITER, self.connection.sign(parts), *parts, *buffers]

    def send(
        self,
        msg_type: str,
        content: Content | bytes | None = None,
        *,
        channel: str = "shell",
        header: Content | None = None,
        **parts: Any,
    ) -> str:
        """Send one well-formed message and return its msg_id. `header` adds or replaces header fields."""
        full = self.header(msg_type, **(header or {}))
        self.send_frames(channel, self.frames(full, {} if content is None else content, **parts))
        self.channels_of[full["msg_id"]] = channel
        return str(full["msg_id"])

    def send_frames(self, channel: str, frames: Sequence[bytes]) -> None:
        self.note(f"{channel} > " + b" | ".join(frame[:300] for frame in frames[-4:]).decode("utf-8", "replace"))
        self.sockets[channel].send_multipart(list(frames))

    def execute(self, code: str, *, metadata: Content | None = None, channel: str = "shell", **content: Any) -> str:
        defaults = {"silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False}
        full = {"code": code, **defaults, "stop_on_error": True, **content}
        return self.send("execute_request", full, metadata=metadata or {}, channel=channel)

    def answer(self, value: str | None, request: Message, **parts: Any) -> None:
        """Send an input_reply; None leaves the value out."""
        content = {} if value is None else {"value": value}
        self.send("input_reply", content, channel="stdin", **{"parent": request.header, **parts})

    # -- receiving ---

    def note(self, line: str) -> None:
        self.trace.append(
            f"{time.monotonic():.3f} {self.session[:4]} {line}".encode("ascii", "backslashreplace").decode()
        )

    def parse(self, channel: str, frames: list[bytes]) -> Message:
        """Check what every message must satisfy, whatever the test is about."""
        assert DELIMITER in frames, f"no delimiter in {frames!r}"
        at = frames.index(DELIMITER)
        signature, *parts = frames[at + 1 : at + 6]
        assert len(parts) == 4, f"too few frames: {frames!r}"
        assert signature == self.connection.sign(parts), f"wrong signature on {parts!r}"
        header, parent, metadata, content = (decode(part) for part in parts)
        message = Message(
            channel, frames[:at], header, parent, metadata, content, frames[at + 6 :], frames, time.monotonic()
        )
        self.note(str(message))
        for name in ("msg_id", "msg_type", "session", "username", "date", "version"):
            assert isinstance(header.get(name), str), f"{name} in {header}"
        assert DATE.fullmatch(header["date"]), header["date"]
        assert all(isinstance(part, dict) for part in (parent, metadata, content))
        self.check_names(message)
        return message

    def check_names(self, message: Message) -> None:
        """No traceback that anybody sees, drawn by IPython or printed by Python, shows the inside of the kernel."""
        said = [*message.content.get("traceback", ()), message.content["text"] if message.type == "stream" else ""]
        inside = [text for text in said if PACKAGE and PACKAGE in text]
        assert not inside or self.shows_inside, f"files of the kernel are named: {inside}"

    def receive(self, deadline: float = DEADLINE) -> bool:
        """Move what has arrived into the inbox, waiting for at least one message. False at the deadline, or when the
        kernel is dead and nothing more came."""
        poller = zmq.Poller()
        for channel, socket in self.sockets.items():
            if channel != "hb":
                poller.register(socket, zmq.POLLIN)
        end = time.monotonic() + deadline
        while not (ready := poller.poll(int(min(200.0, max(0.0, end - time.monotonic()) * 1000)))):
            if time.monotonic() >= end or (self.dead() and not poller.poll(300)):
                return False
        channels = {socket: channel for channel, socket in self.sockets.items()}
        for socket, _ in ready:
            self.keep(self.parse(channels[socket], socket.recv_multipart()))
        return True

    def keep(self, message: Message) -> None:
        mine = message.parent.get("session") == self.session
        if message.channel == "iopub" and message.parent and not mine and not self.all_sessions:
            return
        self.inbox.append(message)

    def take(self, wanted: Callable[[Message], bool], what: str, deadline: float = DEADLINE) -> Message:
        """Claim the first message that is `wanted`, waiting for it."""
        end = time.monotonic() + deadline
        while True:
            for index, message in enumerate(self.inbox):
                if wanted(message):
                    return self.inbox.pop(index)
            if not self.receive(end - time.monotonic()):
                state = "the kernel is dead" if self.dead() else f"waited {deadline} s"
                raise AssertionError(f"no {what}: {state}")

    def recv(self, channel: str, msg_type: str, parent: str | None = None, deadline: float = DEADLINE) -> Message:
        """The next message on a channel with this parent; it must be of this type."""

        def of_parent(message: Message) -> bool:
            return message.channel == channel and message.parent_id == parent

        message = self.take(of_parent, f"{msg_type} on {channel}", deadline)
        assert message.type == msg_type, f"expected {msg_type}, got {message}"
        return message

    def recv_reply(self, msg_id: str, deadline: float = DEADLINE) -> Message:
        """The reply to a request of ours, on the channel it was sent on."""
        channel = self.channels_of[msg_id]
        found = self.take(lambda m: m.channel == channel and m.parent_id == msg_id, f"reply to {msg_id}", deadline)
        assert found.type == str(found.parent["msg_type"]).replace("_request", "_reply")
        return found

    def recv_status(self, state: str, parent: str | None, deadline: float = DEADLINE) -> Message:
        message = self.recv("iopub", "status", parent, deadline)
        assert message.state == state, f"expected {state}, got {message}"
        return message

    def recv_busy(self, parent: str, deadline: float = DEADLINE) -> Message:
        return self.recv_status("busy", parent, deadline)

    def recv_idle(self, parent: str, deadline: float = DEADLINE) -> Message:
        return self.recv_status("idle", parent, deadline)

    def recv_input(self, parent: str, deadline: float = DEADLINE) -> Message:
        return self.recv("iopub", "execute_input", parent, deadline)

    def recv_input_request(self, parent: str, deadline: float = DEADLINE) -> Message:
        return self.recv("stdin", "input_request", parent, deadline)

    def recv_any(self, parent: str, deadline: float = DEADLINE) -> Message:
        """The next message of iopub with this parent."""
        return self.take(lambda m: m.channel == "iopub" and m.parent_id == parent, f"message of {parent}", deadline)

    def recv_idle_of(self, parent: str, deadline: float = DEADLINE) -> None:
        """Whatever comes before the idle of this request goes by."""
        for _ in self.messages_until_idle(parent, deadline):
            pass

    def recv_stream(self, parent: str, text: str, name: str = "stdout", deadline: float = DEADLINE) -> None:
        """This text, in however many messages. What follows it in the last one stays in the inbox."""
        got = ""
        while not got.startswith(text):
            message = self.recv("iopub", "stream", parent, deadline)
            assert message.content["name"] == name, f"expected {name}: {message}"
            got += message.content["text"]
            assert text.startswith(got) or got.startswith(text), f"expected {text!r}, got {got!r}"
        if rest := got.removeprefix(text):
            message.content["text"] = rest
            self.inbox.insert(0, message)

    def begin(self, code: str, ready: str = "ready\n", **content: Any) -> str:
        """Start a cell that prints `ready`, and return when it has got there."""
        msg_id = self.execute(code, **content)
        self.recv_busy(msg_id)
        self.recv_input(msg_id)
        self.recv_stream(msg_id, ready)
        return msg_id

    def messages_until_idle(self, msg_id: str, deadline: float = DEADLINE) -> Iterator[Message]:
        """Claim iopub messages of one parent, the idle included."""
        end = time.monotonic() + deadline
        while True:
            left = end - time.monotonic()
            message = self.take(lambda m: m.channel == "iopub" and m.parent_id == msg_id, "idle", left)
            yield message
            if message.state == "idle":
                return

    def collect(self, msg_id: str, deadline: float = DEADLINE, *, begun: bool = False) -> Result:
        """Claim the reply and all of iopub from busy to idle. `begun`: the busy was claimed before."""
        messages = list(self.messages_until_idle(msg_id, deadline))
        busy = messages[0]
        assert begun or busy.state == "busy", f"expected busy, got {busy}"
        assert all(message.state is None for message in messages[0 if begun else 1 : -1]), "more than one busy"
        reply = self.recv_reply(msg_id, deadline)
        return Result(reply, messages[0 if begun else 1 : -1], busy, messages[-1])

    def request(self, msg_type: str, content: Content | bytes | None = None, **parts: Any) -> Result:
        return self.collect(self.send(msg_type, content, **parts))

    def run(self, code: str, deadline: float = DEADLINE, **content: Any) -> Result:
        return self.collect(self.execute(code, **content), deadline)

    def ok(self, code: str, deadline: float = DEADLINE, **content: Any) -> Result:
        result = self.run(code, deadline, **content)
        assert result.status == "ok", f"{result.content}"
        return result

    def evaluate(self, expression: str, deadline: float = DEADLINE) -> Any:
        """The value of an expression that JSON can carry, without touching history or output."""
        expressions = {"v": f"__import__('json').dumps({expression}, default=str)"}
        result = self.ok("", deadline, silent=True, store_history=False, user_expressions=expressions)
        value = result.content["user_expressions"]["v"]
        assert value["status"] == "ok", value
        return json.loads(eval(value["data"]["text/plain"], {"__builtins__": {}}))

    def sync(self) -> None:
        """Return when everything the kernel published so far has arrived."""
        self.request("kernel_info_request", channel="control")

    def probe(self) -> None:
        """Ask until an answer comes on iopub, too: for kernels that do not welcome every subscriber."""
        while not any(message.channel == "iopub" and message.state == "idle" for message in self.inbox):
            self.recv_reply(self.send("kernel_info_request", channel="control"))
            self.receive(0.1)
        while self.receive(0.1):
            pass
        self.inbox = []

    def wait_unread(self, seconds: float, channel: str = "control") -> None:
        """Be a client that does not read for a while: only one channel is looked at, and nothing may come there."""
        assert not self.sockets[channel].poll(int(seconds * 1000))

    def drain(self) -> None:
        """Let go of whatever a dying kernel said last."""
        while self.receive(0.1):
            pass
        self.inbox = []

    def verify(self) -> None:
        """Fail on messages nobody claimed."""
        if not self.dead() and self.topic == b"":
            self.sync()
        while self.receive(0):
            pass
        mine = (message for message in self.inbox if message.parent or message.type not in ("iopub_welcome", "status"))
        left = [str(message) for message in mine]  # every subscriber sees the start, and others being welcomed
        assert not left, "unclaimed:\n" + "\n".join(left)


@contextmanager
def within(seconds: float, what: str = "") -> Iterator[None]:
    """Fail if the block took longer."""
    begin = time.monotonic()
    yield
    took = time.monotonic() - begin
    assert took <= seconds, f"{what} took {took:.3f} s instead of {seconds}"
