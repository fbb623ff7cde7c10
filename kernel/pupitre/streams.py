# SPDX-License-Identifier: BSD-3-Clause
"""sys.stdout and sys.stderr.

The fast half is C (`door.Stream`): a write goes into the ring, without a system call, a lock or a thread. Here is the
rest of what libraries expect of a text stream, and the two slow cases: hooks, and parents so old that the front no
longer knows them.
"""

import os
from collections.abc import Callable
from io import UnsupportedOperation
from threading import local
from typing import Any

from . import door, parent
from .compat import IOPUB, SESSION, THREAD, Parented
from .unseen import unseen_methods

Hook = Callable[[dict[str, Any]], dict[str, Any] | None]

_NAMES = {1: "stdout", 2: "stderr"}


@unseen_methods
class OutStream(Parented, door.Stream):
    """A text stream whose text appears under the running cell. Has no `.buffer`, as there are no bytes below it."""

    encoding = "UTF-8"
    errors = None
    newlines = None
    mode = "w"
    line_buffering = False
    write_through = False
    echo = None
    session, pub_thread = SESSION, THREAD

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self._number = number
        self._duplicate = -1
        self.name = _NAMES[number]
        self.topic = b"stream." + self.name.encode()
        self._hooks = local()
        self._reasons = 0

    def __repr__(self) -> str:
        return f"<pupitre stream {self.name!r}>"

    # What a text stream says about itself.

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        """A descriptor for subprocess(stdout=sys.stdout) and faulthandler: the pipe below 1 or 2, whose text the front
        shows too.
        """
        self._check_open()
        if self._duplicate < 0:
            self._duplicate = os.dup(self._number)
        return self._duplicate

    def reconfigure(self, **_: Any) -> None:
        """Accepted and ignored: text is UTF-8 and goes out at once, whatever is asked for."""

    def read(self, size: int | None = -1, /) -> str:
        raise UnsupportedOperation("not readable")

    def readline(self, size: int = -1, /) -> str:  # type: ignore[override]
        raise UnsupportedOperation("not readable")

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file.")

    def writelines(self, sequence: Any) -> None:
        for line in sequence:
            self.write(line)

    # The slow way.

    def write_slowly(self, text: str, owner: tuple[int, Any], /) -> int:
        """Called by write() when `slow` is set or the parent is old. Returns len(text)."""
        serial, request = owner
        kept = parent.is_kept(serial) or request is parent.NOBODY
        hooks = getattr(self._hooks, "list", ())
        if kept and not hooks:
            self.put(serial, text)
            return len(text)
        message = SESSION.msg("stream", {"name": self.name, "text": text}, request)
        for hook in list(hooks):
            message = hook(message)
            if message is None:
                return len(text)
        content = message["content"]
        if kept and message["msg_type"] == "stream" and content["name"] == self.name:
            self.put(serial, content["text"])
        else:
            SESSION.send(IOPUB, message, parent=request, ident=self.topic)
        return len(text)

    def register_hook(self, hook: Hook) -> None:
        """`hook(message)` sees what this thread writes and returns it, changed or not, or None to keep it."""
        if not hasattr(self._hooks, "list"):
            self._hooks.list = []
        self._hooks.list.append(hook)
        self.go_slowly()

    def unregister_hook(self, hook: Hook) -> bool:
        """Whether `hook` was registered in this thread."""
        hooks = getattr(self._hooks, "list", [])
        if hook not in hooks:
            return False
        hooks.remove(hook)
        self._reasons -= 1
        self.slow = self._reasons > 0
        return True

    def go_slowly(self) -> None:
        """There is one more reason not to use the ring."""
        self._reasons += 1
        self.slow = True

    def _is_master_process(self) -> bool:
        return not door.is_child()


# By this name click and typer know a stream that shows colours.
OutStream.__module__ = "ipykernel.iostream"
