# SPDX-License-Identifier: BSD-3-Clause
"""A `_pupitre` in Python: the C door as the engine's unit tests see it. Frames go into lists instead of a socket.

`install()` puts it into sys.modules; it must run before anything of pupitre is imported.
"""

import io
import os
import signal
import sys
from collections.abc import Callable
from contextvars import ContextVar
from types import ModuleType
from typing import Any

Frame = tuple[int, int, int, list[bytes]]

OURS, USER = 0, 1


class Stream(io.TextIOBase):
    """Text goes into door.sent as PUBLISH-like tuples in order: ("text", name, serial, text)."""

    slow = False

    def __init__(self, number: int) -> None:
        super().__init__()
        self._fd = number

    def write(self, text: str, /) -> int:
        if self.closed:
            raise ValueError("I/O operation on closed file.")
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        owner = door.parent.get(door.newest)
        if self.slow or door.newest[0] - owner[0] > door.PARENTS_KEPT - 4:
            return self.write_slowly(text, owner)
        self.put(owner[0], text)
        return len(text)

    def flush(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")

    def write_slowly(self, text: str, owner: tuple[int, Any], /) -> int:
        raise NotImplementedError

    def put(self, serial: int, text: str, /) -> None:
        door.texts.append((self._fd, serial, text))
        door.order.append(("text", self._fd, serial, text))


class Door(ModuleType):
    """The module itself.

    `sent`: frames the engine sent; `inbox`: frames it will get; `order`: both kinds of output in order.
    """

    START, REQUEST, EXIT = 1, 2, 4
    HELLO, REPLY, DONE, PUBLISH, INPUT_REQUEST, BYE, LOG = 16, 17, 18, 19, 20, 21, 22
    ABORT_QUEUE = 1
    PARENTS_KEPT = 64
    version = "0.1.0"
    Stream = Stream

    def __init__(self) -> None:
        super().__init__("_pupitre")
        self.link_fd, self._link_end = os.pipe()
        self.wake_fd, self._wake_end = os.pipe()
        os.set_blocking(self.wake_fd, False)
        self.parent: ContextVar[tuple[int, Any]] = ContextVar("parent")
        self.reset()

    def reset(self) -> None:
        self.newest: tuple[int, Any] = (0, {})
        self.sent: list[Frame] = []
        self.texts: list[tuple[int, int, str]] = []
        self.order: list[tuple[Any, ...]] = []
        self.inbox: list[Frame] = []
        self.answers: list[tuple[int, bytes | None]] = []  # number of the question, content
        self.answered: set[int] = set()
        self.activity = OURS
        self.pending = (0, 0)
        self.repaired: list[str] = []
        self.changed: dict[str, Any] = {}
        self.child = False
        self.printed = 0  # of `order`: what take_printed() has seen
        self.handler: Callable[..., Any] | None = None
        self.failed: Callable[..., Any] | None = None
        self.on_send: Callable[[Frame], None] | None = None
        self.entered: list[tuple[int, int]] = []
        self.own_handler: Callable[..., Any] | None = None  # of a cell, for SIGINT
        self.interrupt_entries: dict[int, int] = {}  # serial: which entry into user code is interrupted

    # What the engine calls.

    def send(self, frame_type: int, flags: int, serial: int, parts: Any, /) -> None:
        if frame_type in (self.REPLY, self.DONE):
            if serial in self.answered:
                return
            self.answered.add(serial)
        frame = (frame_type, flags, serial, [bytes(part) for part in parts])
        self.sent.append(frame)
        self.order.append(("frame", *frame))
        if self.on_send:
            self.on_send(frame)

    def wait_for_answer(self, number: int, /) -> bytes | None:
        while self.answers:
            asked, answer = self.answers.pop(0)
            if asked == number:
                return answer
        raise EOFError("the front is gone")

    def set_handler(self, handle: Any, fail: Any, /) -> None:
        self.handler, self.failed = handle, fail

    def dispatch(self) -> None:
        if self.inbox:
            os.read(self.link_fd, 1)
            self.serve(*self.inbox.pop(0))

    def serve(self, frame_type: int, flags: int, serial: int, parts: list[bytes]) -> None:
        assert self.handler is not None
        saved, self.activity = self.activity, OURS
        try:
            later = self.handler(frame_type, flags, serial, parts)
            if frame_type == self.REQUEST and not later and serial not in self.answered:
                raise RuntimeError("no reply")
        except BaseException as error:
            assert self.failed is not None
            self.failed(serial, error)
        finally:
            self.activity = saved

    def call_ours(self, serial: int, func: Any, /, *args: Any) -> None:
        saved, self.activity = self.activity, OURS
        try:
            func(*args)
            if serial and serial not in self.answered:
                raise RuntimeError("no reply")
        except BaseException as error:
            assert self.failed is not None
            self.failed(serial, error)
        finally:
            self.activity = saved

    def call_user(self, serial: int, cell: int, func: Any, /, *args: Any) -> Any:
        saved, self.activity = self.activity, USER
        self.entered.append((serial, cell))
        try:
            if serial in self.interrupt_entries:
                self.interrupt_entries[serial] -= 1
                if self.interrupt_entries[serial] == 0 and serial == self.pending[0]:
                    self.interrupt_wait()
                elif self.interrupt_entries[serial] == 0:
                    raise KeyboardInterrupt
            return func(*args)
        finally:
            self.activity = saved

    def wait(self, func: Any, /, *args: Any) -> Any:
        return func(*args)

    def take_exit(self) -> SystemExit | None:
        return None

    def ring(self) -> bool:
        if self.own_handler is None:
            return False
        self.call_user(*self.pending, self.own_handler, signal.SIGINT, None)
        return True

    @staticmethod
    def unseen(function: Any, /) -> Any:
        return function

    held = unseen

    def set_pending(self, serial: int, cell: int, /) -> None:
        self.pending = (serial, cell)

    def set_parent(self, parent: tuple[int, Any], /) -> None:
        self.newest = parent

    def take_printed(self, serial: int, /) -> list[tuple[int, str]]:
        taken = [
            (entry[1], entry[3]) for entry in self.order[self.printed :] if entry[0] == "text" and entry[2] == serial
        ]
        self.printed = len(self.order)
        return taken

    def repair(self, everything: bool, /) -> list[str]:
        names, self.repaired = self.repaired, []
        return names

    def changed_builtins(self) -> dict[str, Any]:
        return self.changed

    def protect(self) -> None:
        pass

    def is_child(self) -> bool:
        return self.child

    # What the tests call.

    def put(self, frame: Frame) -> None:
        """A frame from the front; the loop serves it."""
        self.inbox.append(frame)
        os.write(self._link_end, b"x")

    def interrupt_wait(self) -> None:
        os.write(self._wake_end, b"12345678")


door = Door()


def install() -> Door:
    # `from _pupitre import *` takes what is in the module's __dict__.
    for name in object.__dir__(door):
        if not name.startswith("_"):
            door.__dict__.setdefault(name, getattr(door, name))
    sys.modules["_pupitre"] = door
    return door
