# SPDX-License-Identifier: BSD-3-Clause
"""The worker's built-in module: the only door between Python and the front.

Built into the `pupitre-worker` executable (kernel/worker/module.c); tests use the fake in tests/engine/fake.py.
Everything here is safe to call from any thread unless it says otherwise. In a child made by os.fork() only
`Stream.write` still does something: it writes to descriptor 1 or 2; the rest raises OSError(EBADF).
"""

import io
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any, TypeVar

from typing_extensions import Buffer

# Frame types and flags, as in kernel/link/frame.h.
START: int
REQUEST: int
EXIT: int
HELLO: int
REPLY: int
DONE: int
PUBLISH: int
INPUT_REQUEST: int
BYE: int
LOG: int
ABORT_QUEUE: int
PARENTS_KEPT: int  # 64

version: str
link_fd: int  # readable when frames wait; for loop.add_reader
wake_fd: int  # eventfd, readable after SIGINT arrived while the loop waited in an await cell, and for take_exit()

# (serial, message) of the request whose output this context makes; set per cell, inherited by asyncio tasks. `message`
# is the dict of streams.Parent. When unset (threads), the parent given to set_parent applies.
parent: ContextVar[tuple[int, Any]]

_Function = TypeVar("_Function", bound=Callable[..., Any])

def send(type: int, flags: int, serial: int, parts: Sequence[Buffer], /) -> None:
    """Send one frame, whole, stamped with the ring position. Waits (without the GIL) while the link is full; a signal
    may interrupt the wait before the first byte, never after it. A REPLY or DONE closes its serial: a second one for
    the same serial is silently dropped. OSError when the front is gone."""

def wait_for_answer(number: int, /) -> bytes | None:
    """The content of the answer to question `number`, which are the flags of its INPUT_REQUEST; None when there will be
    none, because the request that ran has ended. Answers to other questions are dropped. Waits without the GIL and
    interruptibly (KeyboardInterrupt). One thread at a time. EOFError when the front is gone."""

def set_handler(
    handle: Callable[[int, int, int, list[bytes]], bool | None], fail: Callable[[int, BaseException], None], /
) -> None:
    """Who serves frames. `handle(type, flags, serial, parts)` runs for each frame that dispatch() takes; returning True
    means that the reply comes later (an await cell). If it raises, or returns without REPLY/DONE for a REQUEST,
    builtins and modules are repaired and `fail(serial, error)` runs; if that fails as well, C sends a canned error
    reply. So every REQUEST is answered."""

def dispatch() -> None:
    """Take and serve every frame that waits. Called by the event loop when link_fd is readable, and once when it
    begins, in the main thread: the only reader of the link. Runs with activity OURS."""

def call_ours(serial: int, func: Callable[..., Any], /, *args: Any) -> None:
    """Run func(*args) as dispatch runs a handler: activity OURS, interrupts held off, the same net underneath for
    `serial` (0: none): if func raises, or returns without serial answered, `fail` runs. For completions of await cells.
    Main thread."""

def call_user(serial: int, cell: int, func: Callable[..., Any], /, *args: Any) -> Any:
    """Run func(*args) as the student's code: activity USER, SIGINT raises KeyboardInterrupt (at once, if the front
    asked for it before we got here). SIGINT's handler and the signal mask are put right first. Whatever func did, no
    interrupt is pending when this returns or raises into our code, and the previous activity is back. `cell`: execution
    count for the state page, 0 = none. What is raised has no frame of ours at its beginning. Afterwards what func
    destroyed is mended (see repair). In another thread than the main one: func(*args)."""

def wait(func: Callable[..., Any], /, *args: Any) -> Any:
    """func(*args), in which the event loop waits. While it waits inside an await cell (set_pending) SIGINT writes
    wake_fd. Called by user code (a nested loop) this is user code. Ends a forked child."""

def ring() -> bool:
    """If the await cell has a handler of its own for SIGINT, call that, as user code. Raises what it raises."""

def take_exit() -> SystemExit | None:
    """What a signal handler of the user's raised while no other user code ran, once. wake_fd tells of it."""

def set_pending(serial: int, cell: int, /) -> None:
    """An await cell is pending (serial, cell) or no longer (0, 0). For the state page and for wait()."""

def unseen(function: _Function, /) -> _Function:
    """`function`, without frames of this package in what it raises. For what user code calls."""

def held(function: _Function, /) -> _Function:
    """As unseen, and an interrupt waits until it returns. For what may not be cut in two."""

def set_parent(parent: tuple[int, Any], /) -> None:
    """The parent of output from threads and contexts that have none of their own."""

def take_printed(serial: int, /) -> list[tuple[int, str]]:
    """The beginning of what request `serial`, if it is the newest, has printed since this was last called: pairs of
    stream (1 or 2) and text.
    """

def repair(everything: bool, /) -> list[str]:
    """Mend what user code destroyed since start: builtins that were deleted, are no longer callable or no longer
    classes, entries of sys.modules that are gone or None, sys.stdout or sys.stderr set to None, a recursion limit below
    200. `everything`: put back every changed builtin, and modules that are no modules. The names of what was mended,
    e.g. ["builtins.len", "sys.modules"]. call_user runs it with False and keeps the names for the next call: repair
    returns and forgets them."""

def changed_builtins() -> dict[str, Any]:
    """The builtins that are not what they were at start, as they are now. Deleted ones are not among them."""

def protect() -> None:
    """Take the picture that repair compares with. Once, when everything is imported and before user code."""

class Stream(io.TextIOBase):
    """The C half of sys.stdout and sys.stderr. streams.OutStream derives from it.

    write() takes the parent from `parent`, else set_parent; puts UTF-8 (lone surrogates as surrogatepass) into the
    ring; waits for room without the GIL, interruptibly; in a forked child writes to descriptor 1 or 2. Goes through
    write_slowly (a Python method) instead when `slow` is true or the parent's serial is more than PARENTS_KEPT - 4
    requests old."""

    slow: bool
    def __init__(self, number: int) -> None: ...  # 1 = stdout, 2 = stderr
    def write(self, text: str, /) -> int: ...
    def flush(self) -> None:
        """In a forked child, where text waits for its newline: write what was begun. Otherwise there is nothing to
        do."""

    def write_slowly(self, text: str, parent: tuple[int, Any], /) -> int: ...
    def put(self, serial: int, text: str, /) -> None:
        """Into the ring under an explicit serial."""

def is_child() -> bool:
    """Whether this process was made by fork() from the worker and must not answer for it."""
