# SPDX-License-Identifier: BSD-3-Clause
"""input() and getpass() in a cell: ask the client that runs it.

Both are replaced once, for good; whether a question may be asked is decided at each call by the request that runs.
Whoever asks, in whatever thread, waits for its answer and for nothing else. The front ends the question with the
request that runs.
"""

import builtins
import getpass
import warnings
from collections.abc import Callable
from itertools import count
from threading import Lock
from typing import TYPE_CHECKING, Any

from IPython.core.error import StdinNotImplementedError

from . import door, parent
from .jsonout import encode
from .unseen import unseen_methods

if TYPE_CHECKING:
    from .kernel import IPythonKernel

_EOF = "\x04"
_NUMBERS = 0xFFFF  # a question's number has 16 bits on the link

_real_input = builtins.input
_real_getpass = getpass.getpass
_newest: "list[Stdin]" = []


@unseen_methods
class Stdin:
    """Questions to the client. One at a time, from any thread."""

    def __init__(self, kernel: "IPythonKernel") -> None:
        self.kernel = kernel
        self._asking = Lock()
        self._numbers = count(1)

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

    def ask(self, prompt: str, *, password: bool) -> str:
        """Send the question, wait for the answer. KeyboardInterrupt and EOFError as input() raises them."""
        if door.is_child():  # a copy of the lock that another thread holds is never let go
            raise EOFError("a forked process has nobody to ask")
        question = encode({"prompt": prompt, "password": password})
        with self._asking:
            number = next(self._numbers) & _NUMBERS
            door.send(door.INPUT_REQUEST, number, parent.current()[0], [question])
            try:
                answer = door.wait_for_answer(number)
            except KeyboardInterrupt:
                raise KeyboardInterrupt("Interrupted by user") from None
        if answer is None:
            raise EOFError("the cell that asked for input has ended")
        value = parent.decode(answer).get("value", "")
        if value == _EOF:
            raise EOFError
        return value if isinstance(value, str) else str(value)


Ask = Callable[..., str]


@door.unseen
def input(prompt: object = "") -> str:
    """Ask the user of the notebook for a line of text. EOFError at the end of input."""
    return _newest[0].raw_input(prompt)
