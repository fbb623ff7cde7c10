# SPDX-License-Identifier: BSD-3-Clause
"""The event loop of the worker's one thread: a stock asyncio selector loop with four additions.

* It tells C when it waits (`door.waiting`), so that Stop finds an `await` cell asleep and an idle kernel ignores it.
* Its own machinery runs as ours; each callback runs as the student's code (`door.call_user`). So an interrupt is raised
  inside the callback, never between two lines of asyncio, where it would lose a wake-up and leave a task hanging for
  ever.
* The `await` cell is one task of it (`start_cell`), every step of which can be interrupted.
* asyncio.run() and friends work in a plain cell as in a script: for their duration the running loop is hidden.
"""

import asyncio
import os
import sys
from asyncio import Handle, SelectorEventLoop, Task, current_task
from asyncio.base_events import BaseEventLoop
from asyncio.events import _get_running_loop, _set_running_loop
from asyncio.tasks import _enter_task, _leave_task
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from functools import wraps
from inspect import CO_COROUTINE
from selectors import DefaultSelector
from time import monotonic
from types import FrameType
from typing import Any

from IPython.core.interactiveshell import InteractiveShell

from . import door

AT_ONCE = 0.02  # seconds

_RUN_CODE = InteractiveShell.run_code.__code__  # IPython's frame around each statement of a cell


class Selector(DefaultSelector):
    """Says when it waits.

    `watching` is off while a plain cell runs, whose own (nested) waiting is user code as well.
    """

    watching = True

    def select(self, timeout: float | None = None) -> Any:
        if (timeout is not None and timeout <= 0) or not self.watching:
            return super().select(timeout)
        if door.is_child():
            os._exit(0)
        door.waiting(True)
        try:
            return super().select(timeout)
        finally:
            door.waiting(False)


class Steps(Coroutine[Any, Any, Any]):
    """A cell's coroutine, every step of which is user code of request `serial`.

    `interrupt`: raise it at the first step.
    """

    def __init__(self, coroutine: Any, serial: int, cell: int, interrupt: BaseException | None = None) -> None:
        self.coroutine, self.serial, self.cell = coroutine, serial, cell
        self.count = 0
        self.retired = False
        self._interrupt = interrupt

    def _step(self, advance: Callable[[Any], Any], value: Any) -> Any:
        if self.retired:
            raise StopIteration
        self.count += 1
        if self._interrupt is not None:
            advance, value, self._interrupt = self.coroutine.throw, self._interrupt, None
        try:
            return door.call_user(self.serial, self.cell, advance, value)
        except KeyboardInterrupt as interrupt:
            if getattr(self.coroutine, "cr_frame", None) is None:
                raise
            # The interrupt was asked for before the coroutine had its turn: raise it where the cell awaits.
            return door.call_user(self.serial, self.cell, self.coroutine.throw, interrupt)

    def send(self, value: Any) -> Any:
        return self._step(self.coroutine.send, value)

    def throw(self, error: Any, value: Any = None, traceback: Any = None) -> Any:
        return self._step(self.coroutine.throw, error if value is None else value)

    def close(self) -> None:
        if not self.retired:
            self.coroutine.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        raise TypeError("a cell is run by its task")


class Loop(SelectorEventLoop):
    """The main loop. Everything is called in the main thread, but for call_soon_threadsafe."""

    def __init__(self) -> None:
        self.selector = Selector()
        self.exiting = False
        self.cell_task: Task[Any] | None = None
        self._starting = False
        self._cell_ended: Callable[[Task[Any]], None] | None = None
        self._cell_context: Context | None = None
        self._steps = Steps(None, 0, 0)
        self._cancelled_at = -1  # steps the cell had made when it was last cancelled
        self._failed_at = 0.0  # when run_forever raised, if no frame was served since
        self._lost: Exception | None = None  # why no more frames can be served
        super().__init__(self.selector)

    time = staticmethod(monotonic)  # asyncio would look it up in the module, where user code may have replaced it

    # Callbacks are user code.

    def _is_ours(self, callback: Any) -> bool:
        """The steps of the cell's task, which enter user code by themselves, and our own methods."""
        if self._starting:
            return True
        owner = getattr(callback, "__self__", None)
        return owner is not None and (owner is self or owner is self.cell_task)

    def call_soon(self, callback: Any, *args: Any, context: Context | None = None) -> Handle:  # type: ignore[override]
        if self._is_ours(callback):
            return super().call_soon(callback, *args, context=context)
        return super().call_soon(door.call_user, 0, 0, callback, *args, context=context)

    def call_soon_threadsafe(self, callback: Any, *args: Any, context: Context | None = None) -> Handle:  # type: ignore[override]
        if self._is_ours(callback):
            return super().call_soon_threadsafe(callback, *args, context=context)
        return super().call_soon_threadsafe(door.call_user, 0, 0, callback, *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Context | None = None) -> Any:  # type: ignore[override]
        if self._is_ours(callback):
            return super().call_at(when, callback, *args, context=context)
        return super().call_at(when, door.call_user, 0, 0, callback, *args, context=context)

    def call_ours_later(self, delay: float, callback: Callable[[], None]) -> Any:
        """A timer of the engine's own."""
        return super().call_at(self.time() + delay, door.call_ours, 0, callback)

    def _add_reader(self, fd: Any, callback: Any, *args: Any) -> Any:
        return super()._add_reader(fd, door.call_user, 0, 0, callback, *args)  # type: ignore[misc]

    def _add_writer(self, fd: Any, callback: Any, *args: Any) -> Any:
        return super()._add_writer(fd, door.call_user, 0, 0, callback, *args)  # type: ignore[misc]

    def add_our_reader(self, fd: int, callback: Callable[[], None]) -> None:
        """A descriptor of the engine's own."""
        super()._add_reader(fd, callback)  # type: ignore[misc]

    # The await cell.

    def start_cell(
        self,
        coroutine: Coroutine[Any, Any, Any],
        serial: int,
        cell: int,
        context: Context,
        ended: Callable[[Task[Any]], None],
    ) -> None:
        """Run `coroutine` as the pending cell.

        `ended(task)` is called once, as ours, when it is done, whatever happened.
        """
        self._cell_ended, self._cell_context = ended, context
        self._start_task(Steps(coroutine, serial, cell))
        door.set_pending(serial, cell)

    def _start_task(self, steps: Steps) -> None:
        self._steps, self._cancelled_at = steps, -1
        self._starting = True
        try:
            self.cell_task = self.create_task(steps, name=f"cell {steps.cell}", context=self._cell_context)
            self.cell_task.add_done_callback(self._cell_done)
        finally:
            self._starting = False

    def _cell_done(self, task: Task[Any]) -> None:
        if task is not self.cell_task or self._cell_ended is None:
            return
        ended, self._cell_ended, self.cell_task = self._cell_ended, None, None
        door.set_pending(0, 0)
        ended(task)
        if self.exiting:
            self.stop()

    def interrupt_cell(self) -> None:
        """Cancel the pending cell at its await, if there is one."""
        if self.cell_task is None:
            return
        if self._cancelled_at == self._steps.count:
            self._restart_cell()
            return
        self._cancelled_at = self._steps.count
        self.cell_task.cancel()

    def _restart_cell(self) -> None:
        """Raise KeyboardInterrupt in the pending cell by a new task.

        An interrupt that hits a callback of somebody else's may cost a wake-up that the cell's task waits for;
        cancelling that task would then wait for ever. The coroutine is sound, so another task goes on with it.
        """
        old = self._steps
        old.retired = True
        self._start_task(Steps(old.coroutine, old.serial, old.cell, KeyboardInterrupt()))

    def woken(self) -> None:
        """wake_fd is readable: SIGINT came while the loop waited in an await cell."""
        try:
            os.read(door.wake_fd, 8)
        except OSError:
            pass
        self.interrupt_cell()

    # Serving.

    def serve(self) -> None:
        """Run until stop_serving.

        Interrupts and SystemExit that background tasks let escape end the task, not the kernel. An exception of the
        loop's own (its selector or a descriptor of ours was closed) is raised when it comes again at once; one that the
        user's signal handlers raise while we wait comes later. EOFError when the front is gone.
        """
        self.add_our_reader(door.link_fd, self._serve_frames)
        self.call_soon(self._serve_frames)  # what was taken off the link together with START
        self.add_our_reader(door.wake_fd, self.woken)
        while not self.exiting or self.cell_task is not None:
            if self._lost is not None:
                raise self._lost
            try:
                self.run_forever()
            except KeyboardInterrupt:
                self._after_interrupt()
            except Exception as error:
                self._fail(error)
            except BaseException as error:
                self._tell("A background task raised out of the event loop", error)

    def _serve_frames(self) -> None:
        try:
            door.dispatch()
            self._failed_at = 0.0
        except Exception as error:
            self._lost = error
            self.stop()

    def _fail(self, error: Exception) -> None:
        if self.time() < self._failed_at + AT_ONCE:
            raise error
        self._tell("The event loop failed", error)
        self._failed_at = self.time()

    def _tell(self, message: str, error: BaseException) -> None:
        """As asyncio tells of errors. Not by the user's handler, which may be what raised."""
        try:
            door.call_user(0, 0, self.default_exception_handler, {"message": message, "exception": error})
        except BaseException:
            return

    def _after_interrupt(self) -> None:
        task = self.cell_task
        if task is None:
            return
        if task.done():
            self._cell_done(task)
        else:
            self._restart_cell()

    def stop_serving(self) -> None:
        """Let serve() return, once the pending cell has ended."""
        self.exiting = True
        if self.cell_task is None:
            self.stop()


def _in_plain_statement() -> bool:
    """Whether our caller's caller is a statement of a cell that awaits nothing, though another statement of it may."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and frame.f_code is not _RUN_CODE:
        if frame.f_code.co_flags & CO_COROUTINE:
            return False
        frame = frame.f_back
    return frame is not None


_main: Loop | None = None  # what cells run on


def _hide_loop_during(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` as it is where no loop runs, when called from a statement of a cell that is no coroutine."""

    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        main = _main
        if main is None or _get_running_loop() is not main or (args and args[0] is main):
            return function(*args, **kwargs)
        task = current_task(main)
        if task is not None and (task is not main.cell_task or not _in_plain_statement()):
            return function(*args, **kwargs)
        if task is not None:
            _leave_task(main, task)
        _set_running_loop(None)
        try:
            return function(*args, **kwargs)
        finally:
            _set_running_loop(main)
            if task is not None:
                _enter_task(main, task)

    run.__pupitre_main__ = True  # type: ignore[attr-defined]
    return run


def let_cells_run_loops(main: Loop) -> None:
    """Make asyncio.run, asyncio.Runner and other_loop.run_until_complete work in plain cells, while inside a task they
    refuse as ever.

    get_running_loop() goes on to work in plain cells, so create_task() there starts a task that lives on between cells.
    For another main loop, in a forked worker, nothing is replaced again: classes that change are pages that do.
    """
    global _main
    _main = main
    for owner, name in (
        (asyncio, "run"),
        (asyncio.runners, "run"),
        (asyncio.Runner, "run"),
        (BaseEventLoop, "run_forever"),
        (BaseEventLoop, "run_until_complete"),
    ):
        function = getattr(owner, name)
        if not hasattr(function, "__pupitre_main__"):
            setattr(owner, name, _hide_loop_during(function))
