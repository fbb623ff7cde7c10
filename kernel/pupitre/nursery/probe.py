# SPDX-License-Identifier: BSD-3-Clause
"""A forked child that does something and tells what came of it. No worker: it serves nobody."""

import os
import select
from collections.abc import Callable
from time import monotonic

_SECONDS = 20.0  # for a child to do all of it


class Failed(Exception):
    """What went wrong, in one line."""


class Killed(Failed):
    """Somebody killed the child: Linux, when memory is short."""


def ask(act: Callable[[], bytes], seconds: float = _SECONDS) -> bytes:
    """What `act` returns in a child of its own. Failed if it raises, ends early or takes longer; Killed if it was."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        _be_child(act, writer)
    os.close(writer)
    answer = b""
    until, in_time = monotonic() + seconds, True
    while select.select([reader], [], [], max(0.0, until - monotonic()))[0]:
        chunk = os.read(reader, 65536)
        answer += chunk
        if not chunk:
            break
    else:
        in_time = False
        os.kill(pid, 9)
    os.close(reader)
    _, status = os.waitpid(pid, 0)
    if status == 9 and in_time:
        raise Killed("a forked child was killed; memory may be short")
    if status != 0 or not answer:
        raise Failed(f"a forked child ended with status {status}: {answer.decode(errors='replace') or 'no answer'}")
    return answer


def _be_child(act: Callable[[], bytes], writer: int) -> None:
    """Never returns."""
    status = 1
    try:
        try:
            answer = act()
            status = 0
        except BaseException as error:
            answer = f"{type(error).__name__}: {error}".encode()
        with open(writer, "wb", closefd=False) as file:
            file.write(answer)
    finally:
        os._exit(status)
