# SPDX-License-Identifier: BSD-3-Clause
"""Which request an output belongs to.

A request is kept as the message dict that jupyter_client would make of it, because libraries (ipywidgets.Output and
others) read it through `get_ipython().kernel.get_parent()`. The current one travels in the ContextVar `door.parent`, so
that an asyncio task keeps the cell that made it; threads have no context of their own and take the newest
(`door.set_parent`).
"""

from collections.abc import Mapping, Sequence
from json import JSONDecoder
from typing import Any

from . import door
from .jsonout import encode


class _Decoder(JSONDecoder):
    """With methods of its own, so that requests do not depend on what user code puts into JSONDecoder."""

    decode, raw_decode = JSONDecoder.decode, JSONDecoder.raw_decode


_decode_text = _Decoder(strict=False).decode


def decode(part: bytes) -> dict[str, Any]:
    """A message part as a dict; null and [] are what some clients send for an empty one. ValueError if it is not JSON
    or no object.
    """
    if part == b"{}":
        return {}
    value = _decode_text(part.decode("utf-8", "surrogatepass"))
    if value is None or value == []:
        return {}
    if not isinstance(value, dict):
        raise ValueError("a message part must be a JSON object")
    return value


class Parent(dict[str, Any]):
    """A request: header, parent_header, metadata, content, buffers, msg_id and msg_type; its serial on the link and its
    raw header.
    """

    __slots__ = ("identity", "raw", "serial")

    serial: int
    raw: bytes
    identity: list[bytes]


class Malformed(Exception):
    """A request with a part that is no JSON object. `message`: what could be read of it; `error`: what to answer."""

    def __init__(self, message: Parent, part: str, problem: Exception) -> None:
        self.message = message
        self.error = ValueError(f"the {part} of this request cannot be read as a JSON object: {problem}")
        super().__init__(self.error)


def _empty() -> Parent:
    message = Parent(header={}, parent_header={}, metadata={}, content={}, buffers=[], msg_id="", msg_type="")
    message.serial, message.raw, message.identity = 0, b"{}", []
    return message


NOBODY = _empty()
_newest: tuple[int, Parent] = (0, NOBODY)


def parse(serial: int, parts: Sequence[bytes]) -> Parent:
    """The parts of a REQUEST frame (type, header, parent header, metadata, content, identity, buffers...) as a Parent.

    Does not make it current.
    """
    header = decode(parts[1])
    message = Parent(
        header=header,
        msg_id=header.get("msg_id", ""),
        msg_type=parts[0].decode(),
        parent_header={},
        metadata={},
        content={},
        buffers=[memoryview(part) for part in parts[6:]],
    )
    message.serial, message.raw, message.identity = serial, parts[1], [parts[5]] if parts[5] else []
    for name, part in (("parent_header", parts[2]), ("metadata", parts[3]), ("content", parts[4])):
        try:
            message[name] = decode(part)
        except (ValueError, RecursionError) as problem:
            raise Malformed(message, name, problem) from None
    return message


def current() -> tuple[int, Parent]:
    """Serial and message of what runs here: this context's own, else the newest request."""
    return door.parent.get(_newest)


def make_newest(message: Parent) -> None:
    """`message` is what threads and contexts without a parent of their own now print for."""
    global _newest
    _newest = (message.serial, message)
    door.set_parent(_newest)


def adopt(message: Mapping[str, Any] | None) -> tuple[int, Parent]:
    """A message given by a library to set_parent, as a parent.

    One that never was a request of ours keeps its header.
    """
    if not message:
        return (0, NOBODY)
    if isinstance(message, Parent):
        return (message.serial, message)
    if "header" not in message:
        message = {"header": dict(message)}
    foreign = Parent(NOBODY)
    foreign.update(message)
    header = foreign["header"]
    foreign["msg_id"], foreign["msg_type"] = header.get("msg_id", ""), header.get("msg_type", "")
    foreign.serial, foreign.identity = 0, []
    newest = _newest[1]
    if newest["header"].get("msg_id") == foreign["msg_id"]:
        foreign.serial = newest.serial
    foreign.raw = encode(header)
    return (foreign.serial, foreign)


def is_kept(serial: int) -> bool:
    """Whether the front still has the header of request `serial`. A few fewer than it keeps, for what is on the way."""
    return serial > 0 and _newest[0] - serial <= door.PARENTS_KEPT - 4
