# SPDX-License-Identifier: BSD-3-Clause
"""asyncio.run() and friends work in a plain cell as in a script: for their duration the running loop is hidden.

What runs a loop is asyncio.run, asyncio.Runner and the two methods of every class of loops, those of uvloop and the
like included.
"""

import asyncio
import sys
from asyncio import AbstractEventLoop, current_task
from asyncio.base_events import BaseEventLoop
from asyncio.events import _get_running_loop, _set_running_loop
from asyncio.tasks import _enter_task, _leave_task
from collections.abc import Callable
from functools import wraps
from inspect import CO_COROUTINE
from types import FrameType
from typing import Any

from IPython.core.interactiveshell import InteractiveShell

from . import door
from .loop import Loop

_RUN_CODE = InteractiveShell.run_code.__code__  # IPython's frame around each statement of a cell
_METHODS = ("run_forever", "run_until_complete")

_main: Loop | None = None  # what cells run on


def _in_plain_statement() -> bool:
    """Whether our caller's caller is a statement of a cell that awaits nothing, though another statement of it may."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and frame.f_code is not _RUN_CODE:
        if frame.f_code.co_flags & CO_COROUTINE:
            return False
        frame = frame.f_back
    return frame is not None


# Stop may come at any moment, but not between the two steps of either.


@door.held
def _hide(main: Loop, task: Any) -> None:
    if task is not None:
        _leave_task(main, task)
    _set_running_loop(None)


@door.held
def _show(main: Loop, task: Any) -> None:
    if _get_running_loop() is main:  # Stop came before _hide
        return
    _set_running_loop(main)
    if task is not None:
        _enter_task(main, task)


def hide_loop_during(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` as it is where no loop runs, when called from a statement of a cell that is no coroutine."""

    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        main = _main
        if main is None or _get_running_loop() is not main or (args and args[0] is main):
            return function(*args, **kwargs)
        task = current_task(main)
        plain = task is None or main.is_plain(task) or (task is main.cell_task and _in_plain_statement())
        if not plain:
            return function(*args, **kwargs)
        try:
            _hide(main, task)
            return function(*args, **kwargs)
        finally:
            _show(main, task)

    run.__pupitre_main__ = True  # type: ignore[attr-defined]
    return door.unseen(run)


def _hide_in(owner: Any, names: tuple[str, ...]) -> None:
    for name in names:
        function = getattr(owner, name)
        if not hasattr(function, "__pupitre_main__"):
            setattr(owner, name, hide_loop_during(function))


def _adapt_class(cls: type[AbstractEventLoop], /, **kwargs: Any) -> None:
    """AbstractEventLoop.__init_subclass__: a class of loops has just been made."""
    super(AbstractEventLoop, cls).__init_subclass__(**kwargs)
    _hide_in(cls, _METHODS)


def let_cells_run_loops(main: Loop) -> None:
    """Make what runs a loop work in plain cells, while inside a task it refuses as ever.

    get_running_loop() goes on to work in plain cells, so create_task() there starts a task that lives on between cells.
    For another main loop, in a forked worker, nothing is replaced again: classes that change are pages that do.
    """
    global _main
    _main = main
    if "__init_subclass__" in vars(AbstractEventLoop):
        return
    _hide_in(asyncio, ("run",))
    asyncio.runners.run = asyncio.run
    _hide_in(asyncio.Runner, ("run",))
    _hide_in(BaseEventLoop, _METHODS)
    AbstractEventLoop.__init_subclass__ = classmethod(_adapt_class)  # type: ignore[method-assign,assignment]
