# SPDX-License-Identifier: BSD-3-Clause
"""The smallest engine: runs a request's code as the student's, as the kernel's own, or does what the test asks.

The content of a request: {"code": str, "how": "user" | "ours" | "raise" | "silent" | "later" | "await"}.
"""

import faulthandler
import io
import json
import os
import select
import signal
import sys
import traceback
from typing import Any, ClassVar

import _pupitre


class Output(_pupitre.Stream):
    slow_texts: ClassVar[list[tuple[str, int]]] = []

    def write_slowly(self, text: str, parent: tuple[int, Any], /) -> int:
        self.slow_texts.append((text, parent[0]))
        return len(text)


namespace: dict[str, Any] = {
    "_pupitre": _pupitre,
    "Output": Output,
    "faulthandler": faulthandler,
    "io": io,
    "os": os,
    "signal": signal,
    "sys": sys,
}
running = True
fails = False  # what fail() does
pending: list[int] = []
dumps, loads, format_exception, encode = json.dumps, json.loads, traceback.format_exception_only, str.encode


def reply(serial: int, status: str, **content: Any) -> None:
    body = encode(dumps({"status": status, **content}))
    _pupitre.send(_pupitre.REPLY, 0, serial, [b"{}", body])


def execute(code: str) -> Any:
    namespace["result"] = None
    exec(code, namespace)
    return namespace["result"]


def run(serial: int, content: dict[str, Any]) -> None:
    user = content["how"] == "user"
    try:
        result = _pupitre.call_user(serial, serial, execute, content["code"]) if user else execute(content["code"])
    except BaseException as error:
        if _pupitre.is_child():
            raise
        reply(serial, "error", ename=type(error).__name__, evalue=str(error), mended=_pupitre.repair(False))
    else:
        if not _pupitre.is_child():
            reply(serial, "ok", result=repr(result), mended=_pupitre.repair(False))


def handle(type: int, flags: int, serial: int, parts: list[bytes]) -> bool | None:
    global running
    if type == _pupitre.EXIT:
        running = False
        return None
    if type != _pupitre.REQUEST:
        return None
    content = loads(parts[4])
    _pupitre.parent.set((serial, None))
    _pupitre.set_parent((serial, None))
    how = content["how"]
    if how == "raise":
        execute(content["code"])
    elif how == "await":
        pending.append(serial)
        _pupitre.set_pending(serial, serial)
        return True
    elif how == "later":
        pending.append(serial)
        return True
    elif how != "silent":
        run(serial, content)
    return None


def fail(serial: int, error: BaseException) -> None:
    if fails:
        raise RuntimeError("fail fails")
    reply(serial, "error", ename="failed", evalue="".join(format_exception(error)).strip())


def cancel(serial: int) -> None:
    reply(serial, "error", ename="CancelledError", evalue="")


def woken() -> None:
    os.read(_pupitre.wake_fd, 8)
    while pending:
        serial = pending.pop()
        _pupitre.set_pending(0, 0)
        _pupitre.call_ours(serial, cancel, serial)


def main(start: bytes) -> int:
    message = loads(start)
    sys.argv = message["argv"]
    sys.stdout, sys.stderr = Output(1), Output(2)
    namespace["engine"] = sys.modules[__name__]
    epoll = select.epoll()
    epoll.register(_pupitre.link_fd, select.EPOLLIN)
    epoll.register(_pupitre.wake_fd, select.EPOLLIN)
    _pupitre.set_handler(handle, fail)
    _pupitre.protect()
    _pupitre.send(_pupitre.HELLO, 0, 0, [start])
    _pupitre.dispatch()
    while running:
        ready = [fd for fd, _ in _pupitre.wait(epoll.poll)]
        if _pupitre.wake_fd in ready:
            woken()
        if _pupitre.link_fd in ready:
            _pupitre.dispatch()
    _pupitre.send(_pupitre.BYE, 0, 7, [])
    return 7
