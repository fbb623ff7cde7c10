# SPDX-License-Identifier: BSD-3-Clause
"""The event loop of the worker's one thread: a stock asyncio selector loop with three additions.

* It tells C when it waits (`door.wait`), so that Stop finds an `await` cell asleep and an idle kernel ignores it.
* Its own machinery runs as ours; each callback runs as the student's code (`door.call_user`), and so does what is told
  of its failure. So an interrupt is raised inside the callback, never between two lines of asyncio, where it would lose
  a wake-up and leave a task hanging for ever. Who runs is decided by the class of the handle: the user's callback is
  what asyncio and the user see in it.
* The `await` cell is one task of it (`start_cell`), every step of which can be interrupted. Plain cells run as another
  (`plain_task`), because libraries look for the current task to learn which loop they run on.
"""

import os
from asyncio import Event, Handle, SelectorEventLoop, Task, TimerHandle, current_task
from asyncio.format_helpers import _format_callback_source
from asyncio.tasks import _enter_task, _leave_task, _unregister_task
from collections.abc import Callable, Coroutine
from contextvars import Context
from selectors import DefaultSelector
from time import monotonic
from typing import Any

from . import door
from .unseen import hide_ours

AT_ONCE = 0.02  # seconds
_RETIRED_MAX = 16  # tasks


class Selector(DefaultSelector):
    """Says when it waits. `before_wait` is called once, when there is nothing left to do."""

    before_wait: Callable[[], None] | None = None

    def select(self, timeout: float | None = None) -> Any:
        if timeout is not None and timeout <= 0:
            return super().select(timeout)
        if self.before_wait is not None:
            look, self.before_wait = self.before_wait, None
            look()
            return super().select(0)
        return door.wait(super().select, timeout)


class _UserCode(Handle):
    """A callback that is user code. The class of a handle is set after it was made: its layout is asyncio's."""

    __slots__ = ()

    def _run(self) -> None:
        self._run_for(0, 0)

    def _run_for(self, serial: int, cell: int) -> None:
        try:
            self._context.run(door.call_user, serial, cell, self._callback, *self._args)  # type: ignore[attr-defined]
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._loop.call_exception_handler({"exception": error, "handle": self})  # type: ignore[attr-defined]


class _Step(_UserCode):
    """A step of the cell's task; none of a task that is no longer the cell's."""

    __slots__ = ()

    def _run(self) -> None:
        loop: Loop = self._loop  # type: ignore[attr-defined]
        if self._callback.__self__ is loop.cell_task:  # type: ignore[attr-defined]
            loop.steps += 1
            self._run_for(loop.serial, loop.cell)


class _UserTimer(TimerHandle):
    """A timer whose callback is user code."""

    __slots__ = ()
    _run, _run_for = _UserCode._run, _UserCode._run_for


_UserCode.__name__ = _Step.__name__ = "Handle"  # as their repr has it
_UserTimer.__name__ = "TimerHandle"


def _without_us(handle: Handle) -> Handle:
    """The handle, created (as asyncio's debug mode tells) by whoever called us."""
    if handle._source_traceback:  # type: ignore[attr-defined]
        del handle._source_traceback[-1]  # type: ignore[attr-defined]
    return handle


def _is_stuck(future: Any, depth: int = 0) -> bool:
    """Whether a task that `future` waits for was to go on at once, and nobody will call it.

    To be asked when the loop has nothing left to do.
    """
    waiter = getattr(future, "_fut_waiter", None)
    if getattr(future, "_must_cancel", False) or (waiter is not None and waiter.done()):
        return True
    awaited = [waiter] if waiter is not None else getattr(future, "_children", None) or ()
    return depth < 100 and any(_is_stuck(one, depth + 1) for one in awaited if not one.done())


class Loop(SelectorEventLoop):
    """The main loop. Everything is called in the main thread, but for call_soon_threadsafe."""

    def __init__(self) -> None:
        self.selector = Selector()
        self.exiting = False
        self.cell_task: Task[Any] | None = None
        self.serial = self.cell = self.steps = 0  # of the cell's task
        self._plain_task: Task[Any] | None = None
        self._retired: list[Task[Any]] = []  # tasks of cells with which another went on
        self._starting = False
        self._cell_ended: Callable[[Task[Any]], None] | None = None
        self._cell_context: Context | None = None
        self._cancelled_at = -1  # steps the cell had made when it was last cancelled
        self._failed_at = 0.0  # when run_forever raised, if no frame was served since
        self._lost: BaseException | None = None  # why no more frames can be served
        super().__init__(self.selector)

    time = staticmethod(monotonic)  # asyncio would look it up in the module, where user code may have replaced it

    # Callbacks are user code. Scheduling one cannot be cut in two.

    call_soon = door.held(SelectorEventLoop.call_soon)
    call_soon_threadsafe = door.held(SelectorEventLoop.call_soon_threadsafe)

    def _call_soon(self, callback: Any, args: Any, context: Context | None) -> Handle:
        handle: Handle = super()._call_soon(callback, args, context)  # type: ignore[misc]
        owner = getattr(callback, "__self__", None)
        if self._starting or (owner is not None and (owner is self.cell_task or self._is_retired(owner))):
            handle.__class__ = _Step
        elif owner is not self:
            handle.__class__ = _UserCode
        return _without_us(handle)

    def _is_retired(self, owner: Any) -> bool:
        return any(owner is task for task in self._retired)

    @door.held
    def call_at(self, when: float, callback: Any, *args: Any, context: Context | None = None) -> Any:  # type: ignore[override]
        timer = super().call_at(when, callback, *args, context=context)
        if getattr(callback, "__self__", None) is not self:
            timer.__class__ = _UserTimer
        return _without_us(timer)

    def _add_reader(self, fd: Any, callback: Any, *args: Any) -> Any:
        handle = super()._add_reader(fd, callback, *args)  # type: ignore[misc]
        if getattr(callback, "__self__", None) is not self:
            handle.__class__ = _UserCode
        return _without_us(handle)

    def _add_writer(self, fd: Any, callback: Any, *args: Any) -> Any:
        handle = super()._add_writer(fd, callback, *args)  # type: ignore[misc]
        handle.__class__ = _UserCode
        return _without_us(handle)

    @door.held
    def add_signal_handler(self, sig: int, callback: Any, *args: Any) -> None:  # type: ignore[override]
        super().add_signal_handler(sig, callback, *args)
        self._signal_handlers[sig].__class__ = _UserCode  # type: ignore[attr-defined]

    @door.unseen
    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """As asyncio's; handlers, loggers and the reprs of what failed are user code."""
        if isinstance(context.get("exception"), BaseException):
            hide_ours(context["exception"])
        door.call_user(0, 0, self._tell_of, super().call_exception_handler, context)

    @staticmethod
    def _tell_of(tell: Callable[[dict[str, Any]], None], context: dict[str, Any]) -> None:
        handle = context.get("handle")
        if handle is not None and "message" not in context:
            called = _format_callback_source(handle._callback, handle._args)
            context = {"message": f"Exception in callback {called}", **context}
            if handle._source_traceback:
                context["source_traceback"] = handle._source_traceback
        tell(context)

    # Our own.

    def call_ours_later(self, delay: float, callback: Callable[[], None]) -> Any:
        """A timer of the engine's own."""
        return super().call_at(self.time() + delay, door.call_ours, 0, callback)

    def add_our_reader(self, fd: int, callback: Callable[[], None]) -> None:
        """A descriptor of the engine's own."""
        super()._add_reader(fd, callback)  # type: ignore[misc]

    # Plain cells.

    def is_plain(self, task: Any) -> bool:
        """Whether `task` is what is current while a plain cell runs."""
        return task is not None and task is self._plain_task

    @property
    def plain_task(self) -> Task[Any]:
        """The current task while a plain cell runs. It waits for ever and is not among all_tasks()."""
        task = self._plain_task
        if task is None or task.done():
            task = self._plain_task = Task(Event().wait(), loop=self, name="cell")
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            _unregister_task(task)
        return task

    def call_as_task(self, function: Callable[..., Any], *args: Any) -> Any:
        """function(*args); meanwhile plain_task is current, unless another is."""
        if current_task(self) is not None:
            return function(*args)
        task = self.plain_task
        _enter_task(self, task)
        try:
            return function(*args)
        finally:
            if current_task(self) is task:
                _leave_task(self, task)

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
        self.serial, self.cell = serial, cell
        self._start_task(coroutine)
        door.set_pending(serial, cell)

    def _start_task(self, coroutine: Any) -> Task[Any]:
        """Not by create_task, where a factory of the user's may run it at once."""
        self._cancelled_at = -1
        self._starting = True
        try:
            task = self.cell_task = Task(coroutine, loop=self, name=f"cell {self.cell}", context=self._cell_context)
            task.add_done_callback(self._cell_done)
        finally:
            self._starting = False
        return task

    def _cell_done(self, task: Task[Any]) -> None:
        if task is not self.cell_task or self._cell_ended is None:
            return
        ended, self._cell_ended, self.cell_task = self._cell_ended, None, None
        door.set_pending(0, 0)
        ended(task)
        if self.exiting:
            self.stop()

    def interrupt_cell(self) -> None:
        """Cancel the pending cell at its await, if there is one, and with it what it awaits."""
        if self.cell_task is None:
            return
        if self._cancelled_at == self.steps:
            self._restart_cell()
            return
        self._cancelled_at = self.steps
        self.cell_task.cancel()

    def _restart_cell(self) -> None:
        """Cancel the pending cell by a new task.

        An interrupt that hits a callback of somebody else's may cost a wake-up that the cell's task waits for;
        cancelling that task would then wait for ever. The coroutine is sound, so another task goes on with it.
        """
        old = self.cell_task
        if old is None or current_task(self) is not None:
            return
        self._retired = [*self._retired[-_RETIRED_MAX:], old]
        old.remove_done_callback(self._cell_done)
        self._start_task(old.get_coro()).cancel()
        self._cancelled_at = self.steps

    def _look_for_the_stuck(self) -> None:
        if self.cell_task is not None and _is_stuck(self.cell_task):
            self._restart_cell()

    def woken(self) -> None:
        """wake_fd is readable: SIGINT came while an await cell did not run, or a signal handler asks for the end.

        A handler of the cell's own comes first.
        """
        try:
            os.read(door.wake_fd, 8)
        except OSError:
            pass
        self._lost = door.take_exit() or self._lost
        if self._lost is not None:
            self.stop()
            return
        try:
            if door.ring():
                return
        except BaseException as error:
            self._tell("The cell's handler of SIGINT raised", error)
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
        hide_ours(error)
        try:
            door.call_user(0, 0, self.default_exception_handler, {"message": message, "exception": error})
        except BaseException:
            return

    def _after_interrupt(self) -> None:
        """A callback was interrupted. If it was not the cell's own, the cell ends with it."""
        task = self.cell_task
        if task is None:
            return
        if task.done():
            self._cell_done(task)
            return
        self.interrupt_cell()
        self.selector.before_wait = self._look_for_the_stuck

    def stop_serving(self) -> None:
        """Let serve() return, once the pending cell has ended."""
        self.exiting = True
        if self.cell_task is None:
            self.stop()
