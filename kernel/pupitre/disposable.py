# SPDX-License-Identifier: BSD-3-Clause
"""Runs something in a forked child that is thrown away: what it imports, caches and counts there costs nothing here.

For completion in workers that a template forked: jedi touches ten megabytes of pages to say that `df.gro` is
`df.groupby`. Off until `enabled` is set.

What it runs may call the user's code (`__dir__`, `_ipython_key_completions_`), which must not notice. So there is no
child where one could spoil something that it shares with us: beside threads; while the user has a connection, a pipe, a
device or a file to write open; when they look after children themselves. Nothing is done twice: a child that fails or
hangs has found nothing, and from then on we do the work ourselves, as after one whose findings had better be kept.
"""

import gc
import os
import signal
import stat
from collections.abc import Callable
from contextlib import suppress
from select import POLLIN, poll
from time import monotonic
from typing import Any

from .jsonout import encode

Answer = dict[str, Any]

_SECONDS = 10.0  # more than anybody waits for a completion
_COSTLY = 2.0  # seconds of processor time: with what it learned, which is in our own memory then, the next is faster
_RESIDENT_MAX = 400 << 20  # bytes; forking more takes longer than it saves
_FILES = "/proc/self/fd"

enabled = False
_ours: set[int] = {0, 1, 2}


def remember() -> None:
    """Before the first user code: the descriptors that are open now are the kernel's own."""
    try:
        names = os.listdir(_FILES)
    except OSError:  # a system without it: no child is ever made there
        return
    for name in names:
        with suppress(OSError):  # the list's own is closed
            os.fstat(int(name))
            _ours.add(int(name))


def ask(function: Callable[..., Answer], *args: Any, spare: str = "") -> Answer | bytes | None:
    """function(*args), which returns a JSON object: as it is, or as the JSON text that a child made of it.

    None when a child was asked and made nothing. `spare`: the path of a file of ours that may be open.
    """
    global enabled
    offsets = _read_offsets(spare) if enabled and _is_small() and _is_childless() else None
    if offsets is None:
        return function(*args)
    try:
        answer, seconds = _ask_child(function, args)
    except OSError:  # no room for a process or a pipe
        return function(*args)
    finally:
        for file, offset in offsets.items():
            os.lseek(file, offset, os.SEEK_SET)
    enabled = answer is not None and seconds < _COSTLY
    return answer


def _is_small() -> bool:
    """Whether a fork is cheap, and safe: there is one thread, of anybody's."""
    try:
        with open("/proc/self/stat", "rb", buffering=0) as file:
            fields = file.read(2048).rpartition(b")")[2].split()
    except OSError:
        return False
    return int(fields[17]) == 1 and int(fields[21]) * 4096 < _RESIDENT_MAX


def _is_childless() -> bool:
    """Whether nobody but us hears of the end of a child."""
    return signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL


def _read_offsets(spare: str) -> dict[int, int] | None:
    """Where the files stand that the user reads; None if they have something open that is more than that."""
    offsets = {}
    try:
        spared = os.stat(spare) if spare else None
    except OSError:
        spared = None
    for name in os.listdir(_FILES):
        file = int(name)
        if file in _ours:
            continue
        try:
            status = os.fstat(file)
        except OSError:  # that of the list itself
            continue
        is_written = os.lstat(f"{_FILES}/{name}").st_mode & stat.S_IWUSR
        if stat.S_ISREG(status.st_mode) and (not is_written or (spared and os.path.samestat(status, spared))):
            offsets[file] = os.lseek(file, 0, os.SEEK_CUR)
        else:
            return None
    return offsets


def _ask_child(function: Callable[..., Answer], args: tuple[Any, ...]) -> tuple[bytes | None, float]:
    """The answer, if the child made one, and the processor time that it used."""
    reader, writer = os.pipe()
    pid, answer = 0, None
    held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # an interrupt must find a child that we know of
    try:
        pid = os.fork()
        if pid == 0:
            _be_child(function, args, writer, held)
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
        os.close(writer)
        writer = -1
        answer = _read(reader)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
        for end in (reader, writer):
            if end >= 0:
                os.close(end)
        status, seconds = _end(pid, answer is not None) if pid > 0 else (-1, 0.0)
    return answer if status == 0 else None, seconds


def _be_child(function: Callable[..., Answer], args: tuple[Any, ...], writer: int, held: set[Any]) -> None:
    """Never returns."""
    status = 1
    try:
        gc.disable()  # what is garbage here is garbage there, and has its say once
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
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


def _end(pid: int, is_ending: bool) -> tuple[int, float]:
    """Make sure that the child is gone; its wait status, -1 if it cannot be known, and its processor time."""
    try:
        if not is_ending:
            os.kill(pid, signal.SIGKILL)
        _, status, usage = os.wait4(pid, 0)
        return status, usage.ru_utime + usage.ru_stime
    except (ChildProcessError, ProcessLookupError):
        return -1, 0.0
