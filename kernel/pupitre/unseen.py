# SPDX-License-Identifier: BSD-3-Clause
"""Nobody's traceback shows our inside.

An exception loses the frames of this package where it leaves what user code called (`door.unseen`, which is C, or a
whole class by `unseen_methods`), where it leaves user code that we called (`door.call_user`), and, whatever its way
was, where we show it (`hide_ours`).
"""

import os
from collections.abc import Iterator
from inspect import CO_COROUTINE
from types import FunctionType, TracebackType
from typing import Any, TypeVar

from . import door

_FOLDER = os.path.dirname(__file__) + os.sep
_GET = BaseException.__dict__  # the attributes of an exception, whatever its class makes of them

Class = TypeVar("Class", bound=type)


def unseen_methods(cls: Class) -> Class:
    """A class that user code calls methods of: each is `door.unseen`, so that what it raises does not show its inside.

    Not those that are coroutine functions, which callers tell by looking.
    """
    for name, value in list(vars(cls).items()):
        if isinstance(value, FunctionType) and not value.__code__.co_flags & CO_COROUTINE:
            setattr(cls, name, door.unseen(value))
        elif isinstance(value, (staticmethod, classmethod)) and isinstance(value.__func__, FunctionType):
            setattr(cls, name, type(value)(door.unseen(value.__func__)))
        elif type(value) is property:
            accessors: Any = [one and door.unseen(one) for one in (value.fget, value.fset, value.fdel)]
            setattr(cls, name, property(accessors[0], accessors[1], accessors[2], value.__doc__))
    return cls


def related(error: BaseException) -> Iterator[BaseException]:
    """`error`, its causes and contexts and what it groups, each once."""
    seen, waiting = set(), [error]
    while waiting:
        here = waiting.pop()
        if id(here) in seen:
            continue
        seen.add(id(here))
        yield here
        below = [_GET[name].__get__(here) for name in ("__cause__", "__context__")]
        if isinstance(here, BaseExceptionGroup):
            below += BaseExceptionGroup.exceptions.__get__(here)
        waiting += [one for one in below if one is not None]


def traceback_of(error: BaseException) -> TracebackType | None:
    """Whatever its class makes of the name."""
    traceback: TracebackType | None = _GET["__traceback__"].__get__(error)
    return traceback


def hide_ours(error: BaseException) -> None:
    """Take the frames of this package off the tracebacks of `error` and its relations."""
    for one in related(error):
        traceback = traceback_of(one)
        first = skip_ours(traceback)
        if first is not traceback:
            _GET["__traceback__"].__set__(one, first)
        here = first
        while here is not None:
            after = skip_ours(here.tb_next)
            if after is not here.tb_next:
                here.tb_next = after
            here = after


def skip_ours(traceback: TracebackType | None) -> TracebackType | None:
    """`traceback` without the frames of this package that it begins with."""
    while traceback is not None and traceback.tb_frame.f_code.co_filename.startswith(_FOLDER):
        traceback = traceback.tb_next
    return traceback
