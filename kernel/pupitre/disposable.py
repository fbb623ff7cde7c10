# SPDX-License-Identifier: BSD-3-Clause
"""Runs something in a forked child that is thrown away: what it imports, caches and counts there costs nothing here.

For completion in workers that a template forked: jedi touches ten megabytes of pages to say that `df.gro` is
`df.groupby`. Off until `enabled` is set. Whatever goes wrong, the caller does the work itself.
"""

import os
import signal
from collections.abc import Callable
from select import POLLIN, poll
from time import monotonic
from typing import Any

from .jsonout import encode

Answer = dict[str, Any]

_SECONDS = 10.0  # more than anybody waits for a completion
_RESIDENT_MAX = 400 << 20  # bytes; forking more takes longer than it saves

enabled = False


def ask(function: Callable[..., Answer], *args: Any) -> Answer | bytes:
    """function(*args), which returns a JSON object: as it is, or as the JSON text that a child made of it."""
    if not enabled or not _is_small() or (answer := _ask_child(function, args)) is None:
        return function(*args)
    return answer


def _is_small() -> bool:
    """Whether a fork is cheap, and safe: there is one thread, of anybody's."""
    try:
        with open("/proc/self/stat", "rb", buffering=0) as file:
            fields = file.read(2048).rpartition(b")")[2].split()
    except OSError:
        return False
    return int(fields[17]) == 1 and int(fields[21]) * 4096 < _RESIDENT_MAX


def _ask_child(function: Callable[..., Answer], args: tuple[Any, ...]) -> bytes | None:
    try:
        reader, writer = os.pipe()
    except OSError:
        return None
    try:
        pid = os.fork()
    except OSError:
        os.close(reader)
        os.close(writer)
        return None
    if pid == 0:
        _be_child(function, args, writer)
    os.close(writer)
    answer = None
    try:
        answer = _read(reader)
    finally:
        os.close(reader)
        status = _end(pid, answer is not None)
    return answer if status == 0 else None


def _be_child(function: Callable[..., Answer], args: tuple[Any, ...], writer: int) -> None:
    """Never returns."""
    status = 1
    try:
        data = memoryview(encode(function(*args)))
        while data:
            data = data[os.write(writer, data) :]
        status = 0
    finally:
        os._exit(status)


def _read(reader: int) -> bytes | None:
    """Everything up to its end; None when that does not come in time."""
    until = monotonic() + _SECONDS
    chunks: list[bytes] = []
    ready = poll()
    ready.register(reader, POLLIN)
    while ready.poll(max(0.0, until - monotonic()) * 1000):
        chunk = os.read(reader, 65536)
        if not chunk:
            return b"".join(chunks)
        chunks.append(chunk)
    return None


def _end(pid: int, is_ending: bool) -> int:
    """Make sure that the child is gone; its wait status, -1 if somebody else's handler took it."""
    try:
        if not is_ending:
            os.kill(pid, signal.SIGKILL)
        return os.waitpid(pid, 0)[1]
    except (ChildProcessError, ProcessLookupError):
        return -1
