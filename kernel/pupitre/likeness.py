# SPDX-License-Identifier: BSD-3-Clause
"""What ipykernel's kernel, application, session and sockets have beyond what ours need: the names that other packages
and published notebooks ask for, with values that work.

complete() makes them a part of our classes, when something first asks for one (later.py). So nobody else pays for them.
"""

import errno
import os
from asyncio import Lock
from collections.abc import Sequence
from datetime import UTC, datetime
from signal import SIGINT
from typing import Any

from IPython.core import release

from . import connect, info
from .app import IPKernelApp
from .compat import (
    CONTROL,
    IOPUB,
    SESSION,
    SHELL,
    STDIN,
    THREAD,
    BackgroundSocket,
    IOPubThread,
    Session,
    Socket,
)
from .compiler import CellCompiler
from .kernel import Kernel
from .parent import decode
from .shell import ZMQInteractiveShell
from .unseen import unseen_methods

_DELIMITER = b"<IDS|MSG>"
_CHANNELS = ("shell", "stdin", "iopub", "hb", "control")

_SHELL_TYPES = [
    "execute_request",
    "complete_request",
    "inspect_request",
    "history_request",
    "comm_info_request",
    "kernel_info_request",
    "connect_request",
    "shutdown_request",
    "is_complete_request",
    "interrupt_request",
]
_SERVED_HERE = (*_SHELL_TYPES[:5], "is_complete_request")
_SUBSHELL_TYPES = ["create_subshell_request", "delete_subshell_request", "list_subshell_request"]


@unseen_methods
class _ControlThread:
    """`kernel.control_thread`: what is given to its loop is done by the main one, between cells."""

    name = "Control"
    daemon = True

    def is_alive(self) -> bool:
        return True

    @property
    def io_loop(self) -> Any:
        return Kernel.instance().io_loop


@unseen_methods
class _Kernel:
    """For IPythonKernel."""

    shell: Any
    parent: Any
    shell_handlers: Any
    introspection: Any
    shell_stream: Any
    ident: str
    help_links: Any

    implementation = "ipython"
    implementation_version = release.version
    int_id = -1
    shell_class, compiler_class = ZMQInteractiveShell, CellCompiler
    msg_types = _SHELL_TYPES
    control_msg_types = [*_SHELL_TYPES, "debug_request", "usage_request", *_SUBSHELL_TYPES]  # noqa: RUF012
    control_thread = _ControlThread()
    shell_channel_thread = debug_shell_socket = debugpy_stream = (
        None  # as in an ipykernel without subshells or debugger
    )
    processes: dict[int, Any] = {}  # noqa: RUF012 - ipykernel's is one for all, too

    @property
    def language_info(self) -> dict[str, Any]:
        return info.language_info()

    @property
    def banner(self) -> str:
        return str(self.shell.banner)

    @property
    def kernel_info(self) -> dict[str, Any]:
        content = info.kernel_info(self.banner, self.help_links)
        del content["status"]
        return content

    @property
    def profile_dir(self) -> Any:
        return self.parent.profile_dir

    @property
    def shell_streams(self) -> list[Any]:
        return [self.shell_stream]

    @property
    def user_module(self) -> Any:
        return self.shell.user_module

    @user_module.setter
    def user_module(self, module: Any) -> None:
        self.shell.user_module = module

    def do_complete(self, code: str, cursor_pos: int | None) -> dict[str, Any]:
        content: dict[str, Any] = self.introspection.complete_here(
            code, len(code) if cursor_pos is None else cursor_pos
        )
        return content

    def do_inspect(
        self, code: str, cursor_pos: int, detail_level: int = 0, omit_sections: Sequence[str] = ()
    ) -> dict[str, Any]:
        asked = {"cursor_pos": cursor_pos, "detail_level": detail_level, "omit_sections": omit_sections}
        content: dict[str, Any] = self.introspection.inspect({"content": {"code": code, **asked}})
        return content

    def do_is_complete(self, code: str) -> dict[str, Any]:
        content: dict[str, Any] = self.introspection.is_complete({"content": {"code": code}})
        return content

    def do_history(
        self,
        hist_access_type: str,
        output: bool,
        raw: bool,
        session: int = 0,
        start: int = 0,
        stop: int | None = None,
        n: int | None = None,
        pattern: str | None = None,
        unique: bool = False,
    ) -> dict[str, Any]:
        asked = {name: value for name, value in locals().items() if name != "self"}
        content: dict[str, Any] = self.introspection.history({"content": asked})
        return content

    def do_shutdown(self, restart: bool) -> dict[str, Any]:
        """End in order, once the cell is done. Jupyter starts a kernel again that ends without being told to."""
        self.shell.exit_now = True
        return {"status": "ok", "restart": restart}

    def do_clear(self) -> dict[str, Any]:
        self.shell.reset(False)
        return {"status": "ok"}

    _aborting = False  # what waits is aborted by the front
    _main_asyncio_lock = Lock()

    def _topic(self, topic: str) -> bytes:
        return f"kernel.{self.ident}.{topic}".encode()

    def _publish_status(self, status: str, channel: str, parent: Any = None) -> None:
        SESSION.send(IOPUB, "status", {"execution_state": status}, parent, self._topic("status"))

    def _send_abort_reply(self, stream: Any, msg: Any, idents: Any) -> None:
        name = msg["header"]["msg_type"].removesuffix("_request") + "_reply"
        SESSION.send(stream, name, {"status": "aborted"}, msg, idents)

    async def kernel_info_request(self, stream: Any, ident: Any, parent: Any) -> None:
        SESSION.send(stream, "kernel_info_reply", {"status": "ok", **self.kernel_info}, parent, ident)

    async def connect_request(self, stream: Any, ident: Any, parent: Any) -> None:
        ports = {f"{name}_port": _port(self.parent, name) for name in _CHANNELS}
        SESSION.send(stream, "connect_reply", {**ports, "status": "ok"}, parent, ident)

    async def shutdown_request(self, stream: Any, ident: Any, parent: Any) -> None:
        content = self.do_shutdown(parent["content"]["restart"])
        SESSION.send(stream, "shutdown_reply", content, parent, ident)

    async def interrupt_request(self, stream: Any, ident: Any, parent: Any) -> None:
        SESSION.send(stream, "interrupt_reply", {"status": "ok"}, parent, ident)
        os.kill(os.getpid(), SIGINT)

    def init_metadata(self, parent: Any) -> dict[str, Any]:
        return {"started": datetime.now(UTC), "dependencies_met": True, "engine": self.ident}

    def finish_metadata(self, parent: Any, metadata: dict[str, Any], reply_content: Any) -> dict[str, Any]:
        metadata["status"] = reply_content["status"]
        return metadata


@unseen_methods
class _Session:
    """For Session: what is missing is that of a session of jupyter_client's with the same name and key."""

    @property
    def key(self) -> bytes:
        return str(connect.connection(IPKernelApp.instance()).get("key", "")).encode()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(_whole_session(), name)


_whole: Any = None


def _whole_session() -> Any:
    """AttributeError where jupyter_client is not installed."""
    global _whole
    if _whole is None:
        try:
            from jupyter_client.session import Session as Whole
        except ImportError:
            raise AttributeError("this part of kernel.session needs the package jupyter_client") from None
        _whole = Whole(session=SESSION.session, key=SESSION.key, username=SESSION.username)
    return _whole


@unseen_methods
class _Socket:
    """For Socket: messages that were made by session.serialize()."""

    def send_multipart(self, msg_parts: Sequence[Any], *args: Any, **kwargs: Any) -> None:
        parts = [bytes(part) for part in msg_parts]
        where = parts.index(_DELIMITER)
        header, parent, metadata, content = (decode(part) for part in parts[where + 2 : where + 6])
        message = {"header": header, "msg_type": header["msg_type"], "metadata": metadata, "content": content}
        message["parent_header"] = parent
        SESSION.send(self, message, ident=parts[:where], buffers=parts[where + 6 :])

    def recv_multipart(self, *args: Any, **kwargs: Any) -> list[bytes]:
        """Nothing: what clients send goes to the front."""
        try:
            from zmq import Again
        except ImportError:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from None
        raise Again


@unseen_methods
class _Background:
    """For BackgroundSocket."""

    io_thread = THREAD


@unseen_methods
class _Thread:
    """For IOPubThread."""

    closed = False
    session = SESSION

    @property
    def io_loop(self) -> Any:
        return Kernel.instance().io_loop

    def start(self) -> None:
        """It has no thread to start."""

    stop = close = start

    def send_multipart(self, *args: Any, **kwargs: Any) -> None:
        self.background_socket.send_multipart(*args, **kwargs)  # type: ignore[attr-defined]


def _handled(msg_type: str) -> Any:
    async def handle(self: Any, stream: Any, ident: Any, parent: Any) -> None:
        await self.shell_handlers[msg_type](stream, ident, parent)

    handle.__name__ = msg_type
    return handle


def _port(app: Any, channel: str) -> int:
    return int(connect.connection(app).get(f"{channel}_port", 0))


@unseen_methods
class _App:
    """For IPKernelApp."""

    connection_file: str

    session = SESSION
    iopub_socket, iopub_thread, stdin_socket = IOPUB, THREAD, STDIN
    shell_socket, control_socket = SHELL, CONTROL
    shell_port = property(lambda self: _port(self, "shell"))
    iopub_port = property(lambda self: _port(self, "iopub"))
    stdin_port = property(lambda self: _port(self, "stdin"))
    control_port = property(lambda self: _port(self, "control"))
    hb_port = property(lambda self: _port(self, "hb"))

    @property
    def ports(self) -> list[int]:
        return [_port(self, name) for name in _CHANNELS]

    @property
    def abs_connection_file(self) -> str:
        return connect.get_connection_file(self)

    def get_connection_info(self, session: bool = False) -> dict[str, Any]:
        known = connect.get_connection_info(self.connection_file, unpack=True)
        return {**known, "session": SESSION} if session else known

    def init_signal(self) -> None:
        """The front handles the signals that the server sends."""


_done = False


def complete() -> bool:
    """Give our classes what stands above. False if they have it."""
    global _done
    if _done:
        return False
    for owner, more in (
        (Kernel, _Kernel),
        (IPKernelApp, _App),
        (Session, _Session),
        (Socket, _Socket),
        (BackgroundSocket, _Background),
        (IOPubThread, _Thread),
    ):
        for name, value in vars(more).items():
            if name == "__getattr__" or not name.startswith("__"):
                setattr(owner, name, value)
    for msg_type in _SERVED_HERE:
        setattr(Kernel, msg_type, _handled(msg_type))
    _done = True
    return True
