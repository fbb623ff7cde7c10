# SPDX-License-Identifier: BSD-3-Clause
"""Stand-ins for parts of ipykernel that Pupitre has no equal of: sockets, session, I/O thread.

They belong to the front now. What libraries did with them in the kernel was to send messages, so these send messages.
"""

import logging
from asyncio import get_running_loop
from base64 import b64encode
from collections.abc import Callable
from json import loads
from typing import TYPE_CHECKING, Any

from . import parent
from .jsonout import encode
from .unseen import unseen_methods
from .wire import publish

if TYPE_CHECKING:
    from .kernel import IPythonKernel
    from .loop import Loop

LOG = logging.getLogger("pupitre")


@unseen_methods
class Socket:
    """Stands for one of the kernel's sockets in calls like kernel.session.send(kernel.iopub_socket, ...)."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.closed = False

    def __repr__(self) -> str:
        return f"<the {self.name} socket of the kernel, which the front serves>"

    def flush(self, *_: Any) -> None:
        pass


@unseen_methods
class Thread:
    """Stands for ipykernel's I/O thread: what it is given to do is done at once."""

    def __init__(self, socket: Socket) -> None:
        self.socket = self.background_socket = socket

    def schedule(self, function: Callable[[], Any]) -> None:
        function()

    def is_alive(self) -> bool:
        return True


@unseen_methods
class Session:
    """kernel.session: sends on iopub. The key is not here; that is the point of having two processes."""

    key = b""
    signature_scheme = "hmac-sha256"
    username = "username"

    def __init__(self, session: str) -> None:
        self.session = session

    def send(
        self,
        stream: Any,
        msg_or_type: Any,
        content: Any = None,
        parent_header: Any = None,
        ident: Any = None,
        buffers: Any = None,
        track: bool = False,
        header: Any = None,
        metadata: Any = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Publish a message; `stream` other than iopub is refused with a log line. Returns the message."""
        parent_header = kwargs.get("parent", parent_header)
        if isinstance(msg_or_type, dict):
            message = msg_or_type
            content, metadata = message.get("content"), message.get("metadata")
            parent_header = message.get("parent_header") or parent_header
            msg_or_type = message.get("msg_type") or message.get("header", {}).get("msg_type")
        if getattr(stream, "name", "iopub") != "iopub":
            LOG.warning("session.send on %r: only iopub can be sent to from the kernel", stream)
        else:
            topic = ident if isinstance(ident, bytes) else b""
            owner = parent.adopt(parent_header) if parent_header else None
            publish(str(msg_or_type), content or {}, metadata=metadata, buffers=buffers or (), topic=topic, to=owner)
        return {
            "header": {"msg_type": msg_or_type},
            "msg_type": msg_or_type,
            "content": content,
            "metadata": metadata or {},
        }

    def msg(
        self, msg_type: str, content: Any = None, parent: Any = None, header: Any = None, metadata: Any = None
    ) -> dict[str, Any]:
        """A message dict, to be given to send()."""
        return {
            "header": {"msg_type": msg_type, "session": self.session, **(header or {})},
            "msg_type": msg_type,
            "parent_header": parent or {},
            "content": content or {},
            "metadata": metadata or {},
        }


@unseen_methods
class LoopShim:
    """kernel.io_loop without tornado: the few calls that libraries make."""

    def __init__(self, loop: "Loop") -> None:
        self.asyncio_loop = loop

    def add_callback(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        self.asyncio_loop.call_soon_threadsafe(lambda: self._run(function, *args, **kwargs))

    def call_later(self, delay: float, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return self.asyncio_loop.call_later(delay, lambda: self._run(function, *args, **kwargs))

    def _run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        outcome = function(*args, **kwargs)
        if hasattr(outcome, "__await__"):
            get_running_loop().create_task(outcome)


def io_loop(kernel: "IPythonKernel") -> Any:
    """Tornado's view of the main loop where tornado is installed, else a shim."""
    try:
        from tornado.ioloop import IOLoop
    except ImportError:
        return LoopShim(kernel.loop)
    return IOLoop.current()


def json_clean(value: Any) -> Any:
    """`value` reduced to what JSON has."""
    return loads(encode(value))


def encode_images(format_dict: dict[str, Any]) -> dict[str, Any]:
    """A MIME bundle with its bytes in base64."""
    return {mime: b64encode(data).decode() if isinstance(data, bytes) else data for mime, data in format_dict.items()}
