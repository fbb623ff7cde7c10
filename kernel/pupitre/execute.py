# SPDX-License-Identifier: BSD-3-Clause
"""execute_request: one cell, from the request to the reply.

Plain cells run at once, inside one long-lived Context, so that a ContextVar set in one cell is set in the next. Cells
with a top-level await become a task of the main loop, and their reply comes when it is done.
"""

import os
import sys
from asyncio import CancelledError, Task
from bdb import BdbQuit
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from . import door, parent
from .checkup import Checkup
from .jsonout import encode_text, now
from .shell import Shown, ZMQInteractiveShell
from .wire import describe, error_content, publish, publish_error, refuse, reply

if TYPE_CHECKING:
    from .kernel import IPythonKernel


class Request:
    """What an execute_request asks for, with the protocol's defaults. ValueError if it makes no sense."""

    __slots__ = (
        "allow_stdin",
        "cell_id",
        "cell_meta",
        "code",
        "count",
        "expressions",
        "message",
        "silent",
        "started",
        "stop",
        "store",
    )

    def __init__(self, message: parent.Parent) -> None:
        content = message["content"]
        code = content.get("code")
        if not isinstance(code, str):
            raise ValueError("an execute_request needs `code`, a string")
        expressions = content.get("user_expressions") or {}
        if not isinstance(expressions, dict):
            raise ValueError("user_expressions must be an object")
        self.message = message
        self.code = code
        self.silent = bool(content.get("silent", False))
        self.store = bool(content.get("store_history", not self.silent)) and not self.silent
        self.expressions = expressions
        self.allow_stdin = bool(content.get("allow_stdin", False))
        self.stop = bool(content.get("stop_on_error", True))
        self.cell_meta = message["metadata"]
        self.cell_id = self.cell_meta.get("cellId")
        self.started = now()
        self.count = 0


class Executor:
    """Runs cells for the kernel. One at a time: the front sends the next request after the reply."""

    def __init__(self, kernel: "IPythonKernel", shell: ZMQInteractiveShell) -> None:
        self.kernel, self.shell = kernel, shell
        self.checkup = Checkup(shell)
        self.context: Context = copy_context()  # of every plain cell
        arguments = ZMQInteractiveShell.run_cell.__code__.co_varnames
        self._extra = [name for name in ("cell_id", "cell_meta") if name in arguments]

    def execute(self, message: parent.Parent) -> bool:
        """Serve `message`. True if the reply comes later."""
        try:
            request = Request(message)
        except ValueError as problem:
            refuse(message, problem)
            return False
        shell = self.shell
        request.count = shell.execution_count
        if not request.silent:
            publish("execute_input", b'{"code":%b,"execution_count":%d}' % (encode_text(request.code), request.count))
        self.kernel.allow_stdin = request.allow_stdin
        shell.begin_cell(request.code, request.store)
        result: Any = None
        error: BaseException | None = None
        try:
            if ("await" in request.code or "async" in request.code) and self._start_async(request):
                return True
            result = self.call_user(request, self.context.run, self._run, request)
        except BaseException as escaped:
            error = escaped
        self._finish(request, result, error)
        return False

    def call_user(self, request: Request, function: Any, *args: Any) -> Any:
        selector = self.kernel.loop.selector
        selector.watching = False
        try:
            return door.call_user(request.message.serial, request.count, function, *args)
        finally:
            selector.watching = True

    def _options(self, request: Request) -> dict[str, Any]:
        options: dict[str, Any] = {"store_history": request.store, "silent": request.silent}
        for name in self._extra:
            options[name] = getattr(request, name)
        return options

    # Plain cells.

    def _run(self, request: Request) -> Any:
        door.parent.set((request.message.serial, request.message))
        return self.shell.run_cell(request.code, **self._options(request))

    # Await cells.

    def _start_async(self, request: Request) -> bool:
        """Start the cell as a task, if IPython finds that it awaits something."""
        shell = self.shell
        transformed, problem = request.code, None
        try:
            transformed = self.call_user(request, self.context.run, self._transform, request)
        except Exception:
            problem = sys.exc_info()
        if not shell.runs_on_loop or not shell.should_run_async(
            request.code, transformed_cell=transformed, preprocessing_exc_tuple=problem
        ):
            return False
        coroutine = shell.run_cell_async(
            request.code, transformed_cell=transformed, preprocessing_exc_tuple=problem, **self._options(request)
        )
        context = self.context.copy()
        context.run(door.parent.set, (request.message.serial, request.message))
        self.kernel.loop.start_cell(
            coroutine,
            request.message.serial,
            request.count,
            context,
            lambda task: door.call_ours(request.message.serial, self._async_ended, request, task, context),
        )
        return True

    def _transform(self, request: Request) -> str:
        door.parent.set((request.message.serial, request.message))
        return self.shell.transform_cell(request.code)

    def _async_ended(self, request: Request, task: Task[Any], context: Context) -> None:
        error: BaseException | None = None
        result: Any = None
        try:
            result = task.result()
        except BaseException as escaped:
            error = escaped
        try:
            self.call_user(request, context.run, self._after_async, request, result)
        except BaseException as escaped:
            error = escaped if error is None else error
        self._finish(request, result, error)

    def _after_async(self, request: Request, result: Any) -> None:
        """What run_cell does after a plain cell."""
        self.shell.events.trigger("post_execute")
        if not request.silent:
            self.shell.events.trigger("post_run_cell", result)

    # The reply.

    def _finish(self, request: Request, result: Any, escaped: BaseException | None) -> None:
        shell = self.shell
        error = self._error_of(result) if escaped is None else escaped
        if door.is_child():
            leave_child(error)
        self.checkup.look(error, request.code)
        failure = self._failure(error, escaped is not None)
        expressions: dict[str, Any] = {}
        if failure is None and request.expressions:
            try:
                expressions = self.call_user(request, self.context.run, shell.user_expressions, request.expressions)
            except BaseException as problem:
                failure = self._failure(problem, True)
            if door.is_child():
                leave_child(None)
        payload = shell.payload_manager.read_payload()
        shell.end_cell()
        self.checkup.report()
        count = shell.execution_count - 1
        self.kernel.before_reply()
        if failure is None and not expressions and not payload:
            # Nearly every reply is this one, and the encoder would cost a third of our share of a small cell.
            content = b'{"status":"ok","execution_count":%d,"user_expressions":{},"payload":[]}' % count
            reply(request.message, content, metadata=self._metadata(request, "ok"))
        else:
            shell.payload_manager.clear_payload()
            self._reply(request, count, failure, expressions, payload)
        self.kernel.after_cell()

    def _metadata(self, request: Request, status: str) -> bytes:
        text = '{"started":"%s","dependencies_met":true,"engine":"%s","status":"%s"}'
        return (text % (request.started, self.kernel.ident, status)).encode()

    def _reply(
        self, request: Request, count: int, failure: Shown | None, expressions: dict[str, Any], payload: list[Any]
    ) -> None:
        status = "ok" if failure is None else "error"
        content: dict[str, Any] = {"status": status, "execution_count": count}
        content["user_expressions"], content["payload"] = expressions, payload
        if failure is not None:
            content |= failure.content()
            content["engine_info"] = {"engine_uuid": self.kernel.ident, "engine_id": -1, "method": "execute"}
        metadata = self._metadata(request, status)
        abort = failure is not None and request.stop and not request.silent
        try:
            reply(request.message, content, metadata=metadata, abort=abort)
        except (TypeError, ValueError) as error:  # a payload that is no JSON
            shown = error_content(error)
            publish_error(request.message, shown)
            content = {**content, "payload": [], "user_expressions": {}, **shown}
            reply(request.message, content, metadata=self._metadata(request, "error"), abort=abort)

    @staticmethod
    def _error_of(result: Any) -> BaseException | None:
        if result is None:
            return None
        error: BaseException | None = result.error_before_exec
        return result.error_in_exec if error is None else error

    def _failure(self, error: BaseException | None, escaped: bool) -> Shown | None:
        """How the cell failed, None if it did not.

        Publishes an error that got past IPython (`escaped`) or whose showing broke off. All others IPython has shown,
        or whoever told it to show errors otherwise (set_custom_exc, rich): they may have chosen to say nothing.
        """
        shell = self.shell
        if error is None:
            return shell.format_failure
        if isinstance(error, (UsageError, BdbQuit)):
            return Shown(type(error).__name__, describe(error), [])
        if shell.last_shown is None:
            name, text = type(error).__name__, describe(error)
            if not escaped and not shell.showing_broke_off:
                return Shown(name, text, [])
            shown = Shown(name, text, [f"{name}: {text}" if text else name])
            publish("error", shown.content())
            return shown
        # The cell's own exception names the failure; the last traceback shown is nearly always its.
        return Shown(type(error).__name__, describe(error), shell.last_shown.traceback)


def leave_child(error: BaseException | None) -> None:
    """End a process that a cell made by os.fork and that ran to the end of the cell.

    It is no kernel: nothing is answered or cleaned up.
    """
    status = 0
    if isinstance(error, SystemExit):
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    elif error is not None:
        status = 1
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        try:
            stream.flush()  # type: ignore[union-attr]
        except Exception:
            continue
    os._exit(status & 0xFF)


__all__ = ["CancelledError", "Executor", "Request", "leave_child"]
