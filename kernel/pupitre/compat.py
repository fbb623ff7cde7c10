# SPDX-License-Identifier: BSD-3-Clause
"""Stand-ins for parts of ipykernel that Pupitre has no equal of: sockets, session, I/O thread.

They belong to the front now. What libraries did with them in the kernel was to send messages, so these send messages.
There is one of each in a process: SESSION, IOPUB, THREAD and the other sockets.
"""

import logging
import os
import sys
from asyncio import get_running_loop
from asyncio.events import _get_running_loop, _set_running_loop
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from json import loads
from typing import TYPE_CHECKING, Any

from . import door
from .jsonout import encode
from .later import Completed
from .parent import NOBODY, Parent, adopt, current
from .unseen import unseen_methods
from .wire import publish, reply

if TYPE_CHECKING:
    from .kernel import IPythonKernel
    from .loop import Loop

LOG = logging.getLogger("pupitre")


@unseen_methods
class Socket(Completed):
    """Stands for one of the kernel's sockets in calls like kernel.session.send(kernel.iopub_socket, ...)."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<the {self.name} socket of the kernel, which the front serves>"

    closed: Any = False

    def flush(self, *_: Any, **__: Any) -> None:
        """Nothing waits here."""


@unseen_methods
class BackgroundSocket(Socket):
    """`kernel.iopub_socket`."""


@unseen_methods
class Stream(Socket):
    """`kernel.shell_stream` and `kernel.control_stream`."""

    def closed(self) -> bool:
        return False


@unseen_methods
class IOPubThread(Completed):
    """Stands for ipykernel's I/O thread: what it is given to do is done at once."""

    def __init__(self, socket: Socket) -> None:
        self.socket = self.background_socket = socket

    def schedule(self, f: Callable[[], Any]) -> None:
        f()

    def is_alive(self) -> bool:
        return True


@unseen_methods
class Session(Completed):
    """`kernel.session`: sends on iopub, and answers the request that a handler of a library serves.

    Whatever else jupyter_client's Session has is that of a real one, which is made when it is first asked for. The
    identifiers of messages here are not those that clients see: the front makes each message.
    """

    username = "username"
    signature_scheme = "hmac-sha256"

    def __init__(self) -> None:
        self.session = ""
        self.message_count = 0

    @property
    def bsession(self) -> bytes:
        return self.session.encode()

    @property
    def msg_id(self) -> str:
        """A new identifier at each look, as jupyter_client's."""
        number, self.message_count = self.message_count, self.message_count + 1
        return f"{self.session}_{os.getpid()}_{number}"

    def msg_header(self, msg_type: str) -> dict[str, Any]:
        return {
            "msg_id": self.msg_id,
            "msg_type": msg_type,
            "username": self.username,
            "session": self.session,
            "date": datetime.now(UTC),
            "version": "5.4",
        }

    def msg(
        self, msg_type: str, content: Any = None, parent: Any = None, header: Any = None, metadata: Any = None
    ) -> dict[str, Any]:
        """A message dict, to be given to send()."""
        header = {**self.msg_header(msg_type), **(header or {})}
        return {
            "header": header,
            "msg_id": header["msg_id"],
            "msg_type": header["msg_type"],
            "parent_header": (parent or {}).get("header", parent or {}),
            "content": content or {},
            "metadata": metadata or {},
        }

    def send(
        self,
        stream: Any,
        msg_or_type: Any,
        content: Any = None,
        parent: Any = None,
        ident: Any = None,
        buffers: Any = None,
        track: bool = False,
        header: Any = None,
        metadata: Any = None,
    ) -> dict[str, Any]:
        """Publish a message, or reply with it to the request `parent`. Returns it.

        Other messages on a socket that is not iopub are refused with a log line.
        """
        if isinstance(msg_or_type, dict):
            message = msg_or_type  # for which `header` means nothing, as in jupyter_client
            buffers = buffers or message.get("buffers")
            header = message.get("parent_header") or parent
            parent = parent if parent and parent.get("header") == header else header
        else:
            message = self.msg(msg_or_type, content, parent, header, metadata)
        if getattr(stream, "name", "iopub") == "iopub":
            _publish(message, parent, ident, buffers or ())
        elif not _answer(message, parent):
            LOG.warning("session.send on %r: the kernel sends on iopub, and replies to the request it serves", stream)
        message["tracker"] = None
        return message


def _publish(message: dict[str, Any], owner: Any, ident: Any, buffers: Any) -> None:
    topic = ident[0] if isinstance(ident, list) and ident else ident
    msg_type = message.get("msg_type") or message["header"]["msg_type"]
    publish(
        str(msg_type),
        message.get("content") or {},
        metadata=message.get("metadata"),
        buffers=buffers,
        topic=topic if isinstance(topic, bytes) else b"",
        to=adopt(owner) if owner else None,
    )


def _answer(message: dict[str, Any], owner: Any) -> bool:
    """Answer the request `owner` with `message`, if it is the answer to it."""
    request = adopt(owner)[1]
    if not request.serial or message["msg_type"] != request["msg_type"].removesuffix("_request") + "_reply":
        return False
    reply(request, message.get("content") or {}, metadata=message.get("metadata"))
    return True


@unseen_methods
class LoopShim:
    """kernel.io_loop without tornado: the few calls that libraries make."""

    def __init__(self, loop: "Loop") -> None:
        self.asyncio_loop = loop

    def add_callback(self, callback: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        self.asyncio_loop.call_soon_threadsafe(lambda: self._run(callback, *args, **kwargs))

    def call_later(self, delay: float, callback: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return self.asyncio_loop.call_later(delay, lambda: self._run(callback, *args, **kwargs))

    def _run(self, callback: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        outcome = callback(*args, **kwargs)
        if hasattr(outcome, "__await__"):
            get_running_loop().create_task(outcome)


def io_loop(kernel: "IPythonKernel") -> Any:
    """Tornado's view of the main loop where tornado is installed, else a shim.

    Whoever asks: tornado finds it by the loop that runs, which in a thread or inside asyncio.run() is another or none.
    """
    try:
        from tornado.ioloop import IOLoop
    except ImportError:
        return LoopShim(kernel.loop)
    running = _get_running_loop()
    _set_running_loop(kernel.loop)
    try:
        return IOLoop.current()
    finally:
        _set_running_loop(running)


def json_clean(obj: Any) -> Any:
    """`obj` reduced to what JSON has."""
    return loads(encode(obj))


def encode_images(format_dict: dict[str, Any]) -> dict[str, Any]:
    """A MIME bundle with its bytes in base64."""
    return {mime: b64encode(data).decode() if isinstance(data, bytes) else data for mime, data in format_dict.items()}


def _own(message: Any) -> tuple[int, Parent]:
    """A parent made of `message`.

    One that was never a request here has no serial, so its text cannot go by the ring.
    """
    owner = adopt(message)
    if owner[0] == 0 and owner[1] is not NOBODY:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, door.Stream):
                stream.go_slowly()  # type: ignore[attr-defined]
    return owner


@unseen_methods
class Parented:
    """What ipykernel's publishers and streams have: whose output it is, and what sends it."""

    session: Any
    pub_socket: Any

    def set_parent(self, parent: Any) -> None:
        """What this context prints and shows from here on belongs to `parent`."""
        door.parent.set(_own(parent))

    def set_thread_parent(self, parent: Any) -> Any:
        """As set_parent, for the calling thread only. Returns a token for reset_thread_parent."""
        return door.parent.set(_own(parent))

    def reset_thread_parent(self, token: Any) -> None:
        door.parent.reset(token)

    @property
    def parent_header(self) -> dict[str, Any]:
        return current()[1]["header"]

    @parent_header.setter
    def parent_header(self, header: Any) -> None:
        self.set_parent(header)


BackgroundSocket.__module__ = IOPubThread.__module__ = "ipykernel.iostream"

SESSION = Session()
IOPUB = BackgroundSocket("iopub")
THREAD = IOPubThread(IOPUB)
SHELL, CONTROL, STDIN = Stream("shell"), Stream("control"), Socket("stdin")
