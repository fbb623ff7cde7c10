# SPDX-License-Identifier: BSD-3-Clause
"""What packages and the rehearsal keep that is the template's own: open files, and what they want done at the end.

A worker has the objects, but not the descriptors behind them, and must not tidy up what other workers still use.
"""

import atexit
import gc
import os
import stat
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from io import IOBase
from types import FunctionType, MethodType
from typing import Any
from weakref import finalize

_FILES = "/proc/self/fd"

_at_end: list[Callable[[], object]] = []  # in the order of registration
_before: set[int] = set()
_left: list[tuple[int, str, int]] = []  # number; the path of a file that is read, or ""; its offset
_register, _unregister = atexit.register, atexit.unregister


def watch() -> None:
    """In the template, before packages are imported: what is open, and is registered from now on."""
    _before.update(open_files())
    atexit.register, atexit.unregister = register, unregister


def register(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Callable[..., Any]:
    """atexit.register while packages are imported: what tidies up something in particular is for the template's end."""
    caller = str(sys._getframe(1).f_globals.get("__name__"))
    is_packages = caller.partition(".")[0] not in sys.stdlib_module_names
    holds = bool(args or kwargs) or _holds_something(function) or caller == "__main__"  # a cell of the rehearsal
    if is_packages and holds and atexit.register is register:
        _at_end.append(partial(function, *args, **kwargs))
    else:
        _register(function, *args, **kwargs)
    return function


def unregister(function: Callable[..., Any], /) -> None:
    _at_end[:] = [each for each in _at_end if getattr(each, "func", None) != function]
    _unregister(function)


def _holds_something(function: Callable[..., Any]) -> bool:
    """Whether it is more than a named function of a module or a class."""
    if isinstance(function, MethodType):
        return not isinstance(function.__self__, type)
    if isinstance(function, FunctionType):
        return function.__closure__ is not None or function.__name__ == "<lambda>"
    return isinstance(function, partial)


def settle() -> None:
    """In the template, when everything is imported and rehearsed."""
    atexit.register, atexit.unregister = _register, _unregister
    registry: dict[Any, Any] = finalize._registry  # type: ignore[attr-defined]
    for info in sorted(registry.values(), key=lambda info: int(info.index)):
        if info.atexit:
            _at_end.append(partial(info.func, *info.args, **(info.kwargs or {})))
    registry.clear()
    flush_files()  # or each worker would have what waits to be written
    _left[:] = [_describe(number) for number in open_files() if number not in _before]


def flush_files() -> None:
    """Every file that Python knows."""
    for file in gc.get_objects():
        if isinstance(file, IOBase):
            with suppress(BaseException):
                file.flush()


def open_files() -> list[int]:
    """The numbers of all descriptors."""
    found = []
    for name in os.listdir(_FILES):
        with suppress(OSError):  # the list's own is closed
            os.fstat(int(name))
            found.append(int(name))
    return found


def _describe(number: int) -> tuple[int, str, int]:
    is_written = os.lstat(f"{_FILES}/{number}").st_mode & stat.S_IWUSR
    if is_written or not stat.S_ISREG(os.fstat(number).st_mode):
        return number, "", 0
    return number, os.readlink(f"{_FILES}/{number}"), os.lseek(number, 0, os.SEEK_CUR)


def replace_files() -> None:
    """In a worker: something behind the numbers that packages know, so that no file of the user's gets one of them.

    What they read is opened anew, as the user. What they write is not for a worker to write: that goes nowhere.
    """
    for number, path, offset in _left:
        try:
            os.fstat(number)
        except OSError:
            _replace_file(number, path, offset)


def _replace_file(number: int, path: str, offset: int) -> None:
    with suppress(OSError):
        try:
            file = os.open(path or os.devnull, os.O_RDONLY if path else os.O_RDWR)
        except OSError:
            file = os.open(os.devnull, os.O_RDWR)
        if file != number:
            os.dup2(file, number, inheritable=False)
            os.close(file)
        if path:
            os.lseek(number, offset, os.SEEK_SET)


def end() -> None:
    """The end of the template, when the last worker has gone."""
    while _at_end:
        with suppress(BaseException):
            _at_end.pop()()
