# SPDX-License-Identifier: BSD-3-Clause
"""Messages to the front: publish on iopub, reply, done.

Everything Python says on the link is said here (and in stdin.py).
"""

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
    """The answer to `message`; its type is the request's with _reply. Content that is bytes is JSON with status ok.

    `abort`: what waits in the queue is to be aborted.
    """
    failed = isinstance(content, dict) and content.get("status") == "error"
    flags = door.STATUS_ERROR if failed else door.STATUS_OK
    if abort:
        flags |= door.ABORT_QUEUE
    name = message["msg_type"].removesuffix("_request") + "_reply"
    door.send(
        door.REPLY, flags, message.serial, [name.encode(), encode(metadata) if metadata else _EMPTY, encode(content)]
    )


def done(serial: int) -> None:
    """Request `serial` is finished and wants no answer."""
    door.send(door.DONE, 0, serial, [])


def error_content(error: BaseException, traceback: list[str] | None = None) -> dict[str, Any]:
    """The error content of a reply, for what is wrong with the request rather than with the user's code."""
    return {"status": "error", "ename": type(error).__name__, "evalue": describe(error), "traceback": traceback or []}


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
    """str(error), whatever its __str__ does."""
    try:
        return str(error)
    except Exception as problem:
        return f"<{type(problem).__name__} while asking the {type(error).__name__} for its text>"
