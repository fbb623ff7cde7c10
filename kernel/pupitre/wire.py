# SPDX-License-Identifier: BSD-3-Clause
"""Messages to the front: publish on iopub, reply, done.

Everything Python says on the link is said here (and in stdin.py).
"""

import os
from collections.abc import Sequence
from typing import Any

from . import door, parent
from .jsonout import encode

_EMPTY = b"{}"


def publish(
    msg_type: str,
    content: Any,
    *,
    metadata: dict[str, Any] | None = None,
    buffers: Sequence[Any] = (),
    topic: bytes = b"",
    to: tuple[int, parent.Parent] | None = None,
) -> None:
    """One iopub message. `to`: the parent, if not the current one; `topic`: if not kernel.<id>.<msg_type>.

    Raises what jsonout.encode raises, before anything is sent. In a forked child nothing is sent.
    """
    serial, message = to or parent.current()
    header = b"" if message is parent.NOBODY or parent.is_kept(serial) else message.raw
    parts = [msg_type.encode(), topic, header, encode(metadata) if metadata else _EMPTY, encode(content), *buffers]
    if not door.is_child():
        door.send(door.PUBLISH, 0, serial, parts)


def reply(
    message: parent.Parent,
    content: dict[str, Any] | bytes,
    *,
    metadata: dict[str, Any] | bytes | None = None,
    abort: bool = False,
) -> None:
    """The answer to `message`; the front knows its type. Content that is bytes is JSON.

    What is in a dict must be our own: making JSON of what is not runs user code.
    `abort`: what waits in the queue is to be aborted.
    """
    flags = door.ABORT_QUEUE if abort else 0
    door.send(door.REPLY, flags, message.serial, [encode(metadata) if metadata else _EMPTY, encode(content)])


def done(serial: int) -> None:
    """Request `serial` is finished and wants no answer."""
    door.send(door.DONE, 0, serial, [])


def log(text: str) -> None:
    """Lines for the log of the server, which students do not see. In a forked child, where its output goes."""
    line = text.encode("utf-8", "backslashreplace")
    if door.is_child():
        os.write(2, line + b"\n")
    else:
        door.send(door.LOG, 0, 0, [line])


def error_content(error: BaseException, traceback: list[str] | None = None) -> dict[str, Any]:
    """The error content of a reply, for what is wrong with the request rather than with the user's code."""
    return {"status": "error", "ename": name_of(error), "evalue": describe(error), "traceback": traceback or []}


_name_of = type.__dict__["__name__"].__get__  # of a class, whatever its metaclass makes of it
_mute: BaseException | None = None  # had to be interrupted when it was asked for its text


def publish_error(message: parent.Parent, content: dict[str, Any]) -> None:
    """What error_content() says, where clients look that do not read replies."""
    shown = {name: content[name] for name in ("ename", "evalue", "traceback")}
    publish("error", shown, to=(message.serial, message))


def refuse(message: parent.Parent, error: BaseException) -> None:
    """Answer a request that could not be served. If it was to run a cell, the error is published as well."""
    content = error_content(error)
    if message["msg_type"] == "execute_request":
        content["traceback"] = [f"{content['ename']}: {content['evalue']}"]
        publish_error(message, content)
    reply(message, content)


def describe(error: BaseException) -> str:
    """str(error), whatever its __str__ does: it is user code, and can be stopped."""
    if error is _mute:
        return _refusal(error, KeyboardInterrupt())
    try:
        text: str = door.call_user(parent.current()[0], 0, str, error)
        return text
    except BaseException as problem:
        if isinstance(problem, KeyboardInterrupt):
            do_not_ask(error)
        return _refusal(error, problem)


def do_not_ask(error: BaseException | None) -> None:
    """`error` was interrupted when it was asked for its text: one Stop is enough. None: forget which that was."""
    global _mute
    _mute = error


def _refusal(error: BaseException, problem: BaseException) -> str:
    return f"<{_name_of(type(problem))} while asking the {_name_of(type(error))} for its text>"


def name_of(error: BaseException) -> str:
    """The name of its class."""
    name: str = _name_of(type(error))
    return name
