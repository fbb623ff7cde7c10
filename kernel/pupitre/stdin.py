# SPDX-License-Identifier: BSD-3-Clause
"""input() and getpass() in a cell: ask the client that runs it.

Both are replaced once, for good; whether a question may be asked is decided at each call by the request that runs.
"""

import builtins
import getpass
import warnings
from collections.abc import Callable
from threading import Lock, current_thread, main_thread
from typing import TYPE_CHECKING, Any

from IPython.core.error import StdinNotImplementedError

from . import door, parent
from .jsonout import encode

if TYPE_CHECKING:
    from .kernel import IPythonKernel

_EOF = "\x04"
_THREAD_TURN = 0.1  # seconds that a thread waits on the link before it looks whether the main thread got its answer

_real_input = builtins.input
_real_getpass = getpass.getpass
_newest: "list[Stdin]" = []


class Stdin:
    """Questions to the client. One at a time, from any thread."""

    def __init__(self, kernel: "IPythonKernel") -> None:
        self.kernel = kernel
        self._asking = Lock()
        self._answers: list[tuple[int, bytes]] = []

    def install(self) -> None:
        """Have input() and getpass() ask our client. The function is always the same, because C remembers it."""
        _newest[:] = [self]
        builtins.input = input
        getpass.getpass = self.getpass

    def raw_input(self, prompt: object = "") -> str:
        """The line without its end. StdinNotImplementedError if the client cannot be asked."""
        if not self.kernel.is_busy:
            return _real_input(prompt)
        self._check("raw_input")
        return self.ask(str(prompt), password=False)

    def getpass(self, prompt: str = "Password: ", stream: Any = None, *, echo_char: str | None = None) -> str:
        """As raw_input, without showing what is typed."""
        if not self.kernel.is_busy:
            return _real_getpass(prompt, stream)
        self._check("getpass")
        if stream is not None:
            warnings.warn(
                "The `stream` parameter of `getpass.getpass` has no effect in a notebook", UserWarning, stacklevel=2
            )
        if echo_char is not None:
            warnings.warn(
                "The `echo_char` parameter of `getpass.getpass` has no effect in a notebook", UserWarning, stacklevel=2
            )
        return self.ask(prompt, password=True)

    def _check(self, name: str) -> None:
        if not self.kernel.allow_stdin:
            raise StdinNotImplementedError(f"{name} was called, but this frontend does not support input requests.")

    def keep_answer(self, serial: int, part: bytes) -> None:
        """An INPUT_REPLY that the main loop took while a thread waits for it. Without one it is late, and forgotten."""
        if self._asking.locked():
            self._answers.append((serial, part))

    def ask(self, prompt: str, *, password: bool) -> str:
        """Send the question, wait for the answer. KeyboardInterrupt and EOFError as input() raises them."""
        serial = parent.current()[0]
        with self._asking:
            self._answers.clear()
            self._drop_stale()
            door.send(door.INPUT_REQUEST, 0, serial, [encode({"prompt": prompt, "password": password})])
            try:
                content = parent.decode(self._wait(serial))
            except KeyboardInterrupt:
                raise KeyboardInterrupt("Interrupted by user") from None
        value = content.get("value", "")
        if value == _EOF:
            raise EOFError
        return value if isinstance(value, str) else str(value)

    def _drop_stale(self) -> None:
        """The answer to a question that was interrupted must not be taken for the answer to this one."""
        while (frame := door.receive(0)) is not None:
            self._pass_on(frame)

    def _pass_on(self, frame: "door.Frame") -> None:
        """A frame that is no answer: EXIT. A main thread that waits here would not see it."""
        if frame[0] == door.INPUT_REPLY:
            return
        if current_thread() is main_thread():
            self.kernel.handle(*frame)
            raise KeyboardInterrupt
        self.kernel.loop.call_soon_threadsafe(self.kernel.handle, *frame)

    def _wait(self, serial: int) -> bytes:
        turn: float | None = None if current_thread() is main_thread() else _THREAD_TURN
        while True:
            for place, (owner, part) in enumerate(self._answers):
                if owner == serial:
                    del self._answers[place]
                    return part
            frame = door.receive(turn)
            if frame is None:
                continue
            if frame[0] == door.INPUT_REPLY and frame[2] == serial:
                return frame[3][0]
            self._pass_on(frame)


Ask = Callable[..., str]


def input(prompt: object = "") -> str:
    """Ask the user of the notebook for a line of text. EOFError at the end of input."""
    return _newest[0].raw_input(prompt)
