# SPDX-License-Identifier: BSD-3-Clause
"""`jupyter console` in a real pseudo-terminal, read as a person reads it: text without its colours.

Everything waits for text with a deadline; nothing sleeps. When the text does not come, the error shows what came
instead.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pexpect

DEADLINE = 30.0
"""Seconds for anything a person would wait for."""

ENTER = "\r"
TAB = "\t"
ARROW_UP = "\x1b[A"
CTRL_C = "\x03"
CTRL_D = "\x04"

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07]*\x07|[=>])")


class Terminal:
    """A console with its kernel. `said` holds the text that came since the last key was sent."""

    def __init__(self, kernel_name: str, environment: Mapping[str, str]) -> None:
        console = Path(sys.executable).with_name("jupyter-console")
        options = ["--kernel", kernel_name, "--no-confirm-exit"]
        # The console asks a terminal where its cursor is; ours has nobody who would answer.
        settings = {**environment, "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1", "COLUMNS": "120", "LINES": "40"}
        self._child = pexpect.spawn(
            str(console), options, env=settings, encoding="utf-8", dimensions=(40, 120), timeout=DEADLINE
        )
        self._child.delaybeforesend = None
        self._raw = ""

    @property
    def said(self) -> str:
        return _ESCAPES.sub("", self._raw).replace("\r", "")

    def press(self, keys: str) -> None:
        """Send keys, and forget what was said before them."""
        self._raw = ""
        self._child.send(keys)

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Read until the text since the last key matches `pattern` (multi-line), or fail at the deadline."""
        end = time.monotonic() + DEADLINE
        while not (found := re.search(pattern, self.said, re.MULTILINE)):
            assert self._read(end), f"the console ended before {pattern!r}; it said:\n{self.said}"
        return found

    def _read(self, end: float) -> bool:
        """Add what comes before the moment `end` to what was said. False: nothing will come any more."""
        try:
            self._raw += self._child.read_nonblocking(4096, timeout=max(0.0, end - time.monotonic()))
        except pexpect.EOF:
            return False
        except pexpect.TIMEOUT:
            raise AssertionError(f"nothing more came; it said:\n{self.said}") from None
        return True

    def wait_for_prompt(self, number: int) -> str:
        """Wait until cell `number` may be typed; return what was said before its prompt."""
        prompt = self.wait_for(rf"^In \[{number}\]: ")
        return prompt.string[: prompt.start()]

    def run(self, number: int, line: str) -> str:
        """Type one line as cell `number`; return what was said until the next prompt."""
        self.press(line + ENTER)
        return self.wait_for_prompt(number + 1)

    def wait_for_end(self) -> int | None:
        """Read until the console has ended by itself; return its exit status, None if a signal ended it."""
        end = time.monotonic() + DEADLINE
        while self._read(end):
            pass
        self._child.wait()
        status: int | None = self._child.exitstatus
        return status

    def close(self) -> None:
        """End the console, and its kernel with it, whatever they were doing."""
        if self._child.isalive():
            self._child.sendintr()
            self._child.sendeof()
            self._child.expect([pexpect.EOF, pexpect.TIMEOUT], timeout=5)
        self._child.close(force=True)
