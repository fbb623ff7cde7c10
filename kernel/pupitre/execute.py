# SPDX-License-Identifier: BSD-3-Clause
"""execute_request: one cell, from the request to the reply.

Plain cells run at once, inside one long-lived Context, so that a ContextVar set in one cell is set in the next. Cells
with a top-level await become a task of the main loop, and their reply comes when it is done.

What the user may have a say in (transformers, the cell, the text of its error, reprs, what becomes JSON) runs as user
code; ours is what sends and what keeps the books, whatever happens in the other.
"""

import os
import sys
from asyncio import Task
from bdb import BdbQuit
from collections.abc import Callable
from contextvars import Context, copy_context
from functools import partial
from inspect import CORO_CREATED, getcoroutinestate, iscoroutinefunction
from types import CoroutineType
from typing import TYPE_CHECKING, Any, NamedTuple

from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell

from . import door, parent
from .checkup import Checkup
from .jsonout import encode, encode_text, now
from .shell import Shown, ZMQInteractiveShell
from .unseen import traceback_of
from .wire import describe, error_content, publish, publish_error, refuse, reply

if TYPE_CHECKING:
    from .kernel import IPythonKernel

_RUN_CELL = getattr(InteractiveShell._run_cell, "__code__", None)


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


class Outcome:
    """What a cell came to. `escaped`: the error got past IPython."""

    __slots__ = ("error", "escaped", "result")

    def __init__(self, result: Any = None, error: BaseException | None = None) -> None:
        self.result, self.error = result, error
        self.escaped = False

    def settle(self) -> None:
        """`error` is what escaped, or what IPython's result says."""
        self.escaped = self.error is not None
        if self.error is None and self.result is not None:
            before: BaseException | None = self.result.error_before_exec
            self.error = self.result.error_in_exec if before is None else before
        if self.error is not None:
            _close_cell(self.error)

    def clear(self) -> None:
        self.result = self.error = None


class _Awaits(partial[Any]):
    """Makes the coroutine of a cell, in a call that cannot be stopped.

    One that Stop parts from whoever would start it is never awaited, and Python would say so in the cell.
    """


def _close_cell(error: BaseException) -> None:
    """Close the coroutine that IPython had made for a cell that was stopped before it began.

    Python would say that it was never awaited.
    """
    traceback = traceback_of(error)
    while traceback is not None and traceback.tb_frame.f_code is not _RUN_CELL:
        traceback = traceback.tb_next
    coroutine = None if traceback is None else traceback.tb_frame.f_locals.get("coro")
    if type(coroutine) is CoroutineType and getcoroutinestate(coroutine) == CORO_CREATED:
        coroutine.close()


class Answer(NamedTuple):
    """The content of a reply, and whether it says that the cell failed."""

    content: bytes
    failed: bool = False


class Executor:
    """Runs cells for the kernel. One at a time: the front sends the next request after the reply."""

    def __init__(self, kernel: "IPythonKernel", shell: ZMQInteractiveShell) -> None:
        self.kernel, self.shell = kernel, shell
        self.checkup = Checkup(shell)
        self.context: Context = copy_context()  # of every plain cell
        arguments = ZMQInteractiveShell.run_cell.__code__.co_varnames
        self._extra = [name for name in ("cell_id", "cell_meta") if name in arguments]

    def execute(self, message: parent.Parent, start: Callable[..., Any] | None = None) -> bool:
        """Serve `message`. True if the reply comes later.

        `start`: what starts an await cell, if not the loop; called as Loop.start_cell.
        """
        try:
            request = Request(message)
        except ValueError as problem:
            refuse(message, problem)
            return False
        shell = self.shell
        request.count = shell.execution_count
        if not request.silent:
            self.kernel.newest_cell = message
            publish("execute_input", b'{"code":%b,"execution_count":%d}' % (encode_text(request.code), request.count))
        self.kernel.allow_stdin = request.allow_stdin
        shell.begin_cell(request.code, request.store)
        later = False
        try:
            later = self._begin(request, start)
        finally:
            if not later:
                shell.end_cell()
        return later

    def _begin(self, request: Request, start: Callable[..., Any] | None) -> bool:
        outcome = Outcome()
        try:
            outcome.result = self.kernel.loop.call_as_task(
                self.call_user, request, self.context.run, self._run, request
            )
            if type(outcome.result) is _Awaits:
                outcome.result = outcome.result()
        except BaseException as escaped:
            outcome.error = escaped
        if type(outcome.result) is CoroutineType:
            self._start_async(request, outcome.result, start)
            return True
        self._finish(request, outcome)
        return False

    def call_user(self, request: Request, function: Any, *args: Any) -> Any:
        return door.call_user(request.message.serial, request.count, function, *args)

    def _run(self, request: Request) -> Any:
        """The result of a plain cell, or the coroutine of one that awaits something, or what makes it."""
        door.parent.set((request.message.serial, request.message))
        shell, code = self.shell, request.code
        options: dict[str, Any] = {"store_history": request.store, "silent": request.silent}
        for name in self._extra:
            options[name] = getattr(request, name)
        transformed = shell.transform_ahead(code)
        if (
            transformed is None
            or ("await" not in transformed and "async" not in transformed)
            or not shell.runs_on_loop
            or not shell.should_run_async(code, transformed_cell=transformed)
        ):
            return shell.run_cell(code, **options)
        options |= {"transformed_cell": transformed, "preprocessing_exc_tuple": None}
        run = _Awaits(shell.run_cell_async, code, **options)
        return run if iscoroutinefunction(shell.run_cell_async) else run()

    # Await cells.

    def _start_async(self, request: Request, coroutine: Any, start: Callable[..., Any] | None) -> None:
        context = self.context.copy()
        context.run(door.parent.set, (request.message.serial, request.message))
        (start or self.kernel.loop.start_cell)(
            coroutine,
            request.message.serial,
            request.count,
            context,
            lambda task: door.call_ours(request.message.serial, self._async_ended, request, task, context),
        )

    async def execute_here(self, message: parent.Parent) -> None:
        """Serve `message` to the end in the task that awaits this."""
        begun: list[Any] = []
        if self.execute(message, lambda *how: begun.append(how)):
            coroutine, *_, ended = begun[0]
            outcome = self.kernel.loop.create_future()
            try:
                outcome.set_result(await coroutine)
            except BaseException as error:
                outcome.set_exception(error)
            ended(outcome)

    def _async_ended(self, request: Request, task: Task[Any], context: Context) -> None:
        outcome = Outcome()
        try:
            outcome.result = task.result()
        except BaseException as escaped:
            outcome.error = escaped
        try:
            self.call_user(request, context.run, self._after_async, request, outcome.result)
        except BaseException as escaped:
            if outcome.error is None:
                outcome.error = escaped
        try:
            self._finish(request, outcome)
        finally:
            self.shell.end_cell()

    def _after_async(self, request: Request, result: Any) -> None:
        """What run_cell does after a plain cell."""
        self.shell.events.trigger("post_execute")
        if not request.silent:
            self.shell.events.trigger("post_run_cell", result)

    # The reply.

    def _finish(self, request: Request, outcome: Outcome) -> None:
        shell = self.shell
        outcome.settle()
        if door.is_child():
            leave_child(outcome.error)
        self.checkup.look(outcome.error, request.code)
        plain = outcome.error is None and not (shell.format_failure or request.expressions)
        if plain and not shell.payload_manager.read_payload():
            # Nearly every reply is this one, and the encoder would cost a third of our share of a small cell.
            content = b'{"status":"ok","execution_count":%d,"user_expressions":{},"payload":[]}'
            answer = Answer(content % (shell.execution_count - 1))
        else:
            answer = self._conclude(request, outcome)
            self._let_go(request, outcome)
        shell.end_cell()
        printed = door.take_printed(request.message.serial)
        if printed and request.store:
            self._keep_printed(request, printed)
        self.checkup.report()
        metadata = self._metadata(request, "error" if answer.failed else "ok")
        abort = answer.failed and request.stop and not request.silent
        self.kernel.before_reply()
        reply(request.message, answer.content, metadata=metadata, abort=abort)
        self.kernel.after_cell()

    def _conclude(self, request: Request, outcome: Outcome) -> Answer:
        """What the reply says. Asking for it is user code."""
        try:
            answer: Answer = self.call_user(request, self.context.run, self._compose, request, outcome)
        except BaseException as problem:
            content = error_content(problem)
            publish_error(request.message, content)
            content |= {"execution_count": request.count, "user_expressions": {}, "payload": []}
            answer = Answer(encode(content), failed=True)
        if door.is_child():
            leave_child(None)
        return answer

    def _keep_printed(self, request: Request, printed: list[tuple[int, str]]) -> None:
        """For %notebook. The history's manager and its outputs are the user's, who may have broken them."""
        try:
            self.call_user(request, lambda: self.shell.history_manager.keep_printed(request.count, printed))
        except BaseException:
            return

    def _let_go(self, request: Request, outcome: Outcome) -> None:
        """Forget what the cell left: finalizers are user code."""
        try:
            self.call_user(request, outcome.clear)
        except BaseException:  # Stop
            return

    def _compose(self, request: Request, outcome: Outcome) -> Answer:
        door.parent.set((request.message.serial, request.message))
        shell = self.shell
        failure = self._failure(outcome.error, outcome.escaped)
        expressions: dict[str, Any] = {}
        if failure is None and request.expressions:
            try:
                expressions = shell.user_expressions(request.expressions)
            except BaseException as problem:
                failure = self._failure(problem, True)
        payload = shell.payload_manager.read_payload()
        shell.payload_manager.clear_payload()
        content: dict[str, Any] = {"status": "ok", "execution_count": shell.execution_count - 1}
        content["user_expressions"], content["payload"] = expressions, payload
        if failure is not None:
            content |= {"status": "error", **failure.content()}
            content["engine_info"] = {"engine_uuid": self.kernel.ident, "engine_id": -1, "method": "execute"}
        try:
            return Answer(encode(content), failed=failure is not None)
        except (TypeError, ValueError) as problem:  # a payload that is no JSON
            shown = error_content(problem)
            publish_error(request.message, shown)
            content |= {"payload": [], "user_expressions": {}, **shown}
            return Answer(encode(content), failed=True)

    def _metadata(self, request: Request, status: str) -> bytes:
        text = '{"started":"%s","dependencies_met":true,"engine":"%s","status":"%s"}'
        return (text % (request.started, self.kernel.ident, status)).encode()

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


__all__ = ["Executor", "Request", "leave_child"]
