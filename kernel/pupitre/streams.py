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
from .unseen import unseen_methods
from .wire import publish

Hook = Callable[[dict[str, Any]], dict[str, Any] | None]

_NAMES = {1: "stdout", 2: "stderr"}


@unseen_methods
class OutStream(door.Stream):
    """A text stream whose text appears under the running cell. Has no `.buffer`, as there are no bytes below it."""

    encoding = "UTF-8"
    errors = None
    newlines = None
    mode = "w"
    line_buffering = False
    write_through = False

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self._number = number
        self._duplicate = -1
        self.name = _NAMES[number]
        self._hooks = local()
        self._hooked = 0

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

    def writelines(self, lines: Any, /) -> None:
        for line in lines:
            self.write(line)

    # The slow way.

    def write_slowly(self, text: str, owner: tuple[int, Any], /) -> int:
        """Called by write() when `slow` is set or the parent is old. Returns len(text)."""
        serial, message = owner
        size = len(text)
        for hook in list(getattr(self._hooks, "list", ())):
            shown = hook(
                {
                    "header": {"msg_type": "stream"},
                    "msg_type": "stream",
                    "parent_header": message["header"],
                    "metadata": {},
                    "content": {"name": self.name, "text": text},
                }
            )
            if shown is None:
                return size
            text = shown["content"]["text"]
        if parent.is_kept(serial) or message is parent.NOBODY:
            self.put(serial, text)
        else:
            publish("stream", {"name": self.name, "text": text}, to=owner, topic=b"stream." + self.name.encode())
        return size

    def register_hook(self, hook: Hook) -> None:
        """`hook(message)` sees what this thread writes and returns it, changed or not, or None to keep it."""
        if not hasattr(self._hooks, "list"):
            self._hooks.list = []
        self._hooks.list.append(hook)
        self._hooked += 1
        self.slow = True

    def unregister_hook(self, hook: Hook) -> bool:
        """Whether `hook` was registered in this thread."""
        hooks = getattr(self._hooks, "list", [])
        if hook not in hooks:
            return False
        hooks.remove(hook)
        self._hooked -= 1
        self.slow = self._hooked > 0
        return True

    # Names that ipykernel's stream has and other packages ask for.

    def set_parent(self, message: Any) -> None:
        door.parent.set(parent.adopt(message))

    @property
    def parent_header(self) -> dict[str, Any]:
        return parent.current()[1]["header"]

    def _is_master_process(self) -> bool:
        return not door.is_child()
