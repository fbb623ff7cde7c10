# SPDX-License-Identifier: BSD-3-Clause
"""Other users, and processes that are unlike the listener: functions run in a forked child that was changed first."""

from __future__ import annotations

import ctypes
import os
import pickle
import select
import signal
import traceback
from collections.abc import Callable
from typing import Any

from messages import DEADLINE

ALICE, BOB = 22345, 22346  # nobody else's
PR_SET_PDEATHSIG, PR_SET_DUMPABLE = 1, 4
libc = ctypes.CDLL(None, use_errno=True)


def must(result: int) -> int:
    """Of a call into libc."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def become(uid: int, groups: list[int] | None = None) -> None:
    """As login does, and then exec."""
    os.setgroups(groups or [])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    must(libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0))


class Other:
    """`act` in a child, after `change`. It gets a function that waits until `go`; what it returns is `result()`."""

    def __init__(self, change: Callable[[], Any], act: Callable[[Callable[[], None]], Any]) -> None:
        self._result, result = os.pipe()
        go, self._go = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._go)
            try:
                change()
                must(libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))
                answer: Any = (True, act(lambda: os.read(go, 1) and None))
            except BaseException:
                answer = (False, traceback.format_exc())
            with os.fdopen(result, "wb") as file:
                pickle.dump(answer, file)
            os._exit(0)
        os.close(result)
        os.close(go)

    def go(self) -> None:
        os.write(self._go, b"x")

    def result(self, seconds: float = DEADLINE * 2) -> Any:
        data = b""
        while True:
            assert select.select([self._result], [], [], seconds)[0], "no answer from the child"
            piece = os.read(self._result, 65536)
            if not piece:
                break
            data += piece
        os.close(self._result)
        os.close(self._go)
        os.waitpid(self.pid, 0)
        well, value = pickle.loads(data)
        assert well, value
        return value


def run(change: Callable[[], Any], act: Callable[[], Any]) -> Any:
    """What `act` returns in a child, after `change`."""
    return Other(change, lambda _: act()).result()


def run_as(uid: int, act: Callable[[], Any], groups: list[int] | None = None) -> Any:
    return run(lambda: become(uid, groups), act)


def nothing() -> None:
    """A change."""
