# SPDX-License-Identifier: BSD-3-Clause
"""Folders of a user that packages worked out when they were imported: in the template all of them, and the one that it
works in, lie below its own home.

Whoever the garbage collector reaches that keeps such a path is remembered, and gets the user's in a worker.
"""

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import PurePath
from types import CellType, FrameType, FunctionType
from typing import Any

from traitlets import HasTraits

from . import asked, stage

_ITEM, _ATTRIBUTE, _ELEMENT = range(3)
_PATHS: Any = (str, bytes, tuple, PurePath)
_NO_OWNERS = (FrameType, tuple, PurePath)  # the last two are such values, as a whole

_home = ""
_kept: list[tuple[int, Any, Any, Any]] = []  # how it is kept, by whom, as what, the value in the template
_bases: list[tuple[str, str]] = []  # of this worker: a folder of the template's, the user's


def settle() -> None:
    """In the template, when everything is imported and rehearsed."""
    global _home
    _home = os.path.expanduser("~")
    for name in [name for name in sys.path_importer_cache if _is_below(name)]:
        del sys.path_importer_cache[name]
    if "platform" in sys.modules:
        sys.modules["platform"]._uname_cache = None  # type: ignore[attr-defined]  # has the machine's name
    objects = gc.get_objects()
    values, dicts = _values(objects)
    others = _others(objects) | {id(objects), id(values)}
    ids = {id(value) for value in values}
    owners = [*gc.get_referrers(*values), *dicts]
    owners = [each for each in owners if not isinstance(each, _NO_OWNERS) and id(each) not in others]
    classes = _classes([each for each in owners if type(each) is dict])
    for each in owners:
        owner = classes.get(id(each), each)
        how, entries = _entries(owner)
        _kept.extend((how, owner, name, value) for name, value in entries if id(value) in ids)


def _values(objects: list[Any]) -> tuple[list[Any], list[Any]]:
    """What is such a path, or a tuple with one, each once; and the dicts with one that the collector leaves out."""
    known = (*_PATHS, dict)
    kinds = {*known, *(each for each in objects if isinstance(each, type) and issubclass(each, known))}
    seen: set[int] = set()
    found: dict[int, Any] = {}
    dicts: list[Any] = []
    for at in range(0, len(objects), 4096):
        new = {id(each): each for each in gc.get_referents(*objects[at : at + 4096]) if type(each) in kinds}
        for number in new.keys() - seen:
            each = new[number]
            if not isinstance(each, dict):
                if _is_below(each):
                    found[number] = each
            elif not gc.is_tracked(each) and (below := list(filter(_is_below, each.values()))):
                dicts.append(each)
                found.update((id(value), value) for value in below)
        seen |= new.keys()
    return list(found.values()), dicts


def _is_below(value: Any) -> bool:
    if isinstance(value, str):
        return str.startswith(value, _home)  # whatever a class of its own makes of it
    if isinstance(value, tuple):
        return any(map(_is_below, value))
    if isinstance(value, bytes):
        return value.startswith(os.fsencode(_home))
    return isinstance(value, PurePath) and str(value).startswith(_home)


def _others(objects: list[Any]) -> set[int]:
    """The numbers of those that somebody else looks after: fresh.awake, and engine.move_in for what is configured."""
    environ: Any = os.environ
    found = {id(each) for each in (environ._data, sys.modules["posix"].environ, asked.then, globals())}
    for each in objects:
        if issubclass(type(each), HasTraits):
            found.update((id(each), id(vars(each)), id(each._trait_values)))
    return found


def _classes(owners: list[Any]) -> dict[int, type]:
    """By the number of its namespace: a class is told of changes."""
    ids = {id(each) for each in owners}
    found = {}
    for each in gc.get_referrers(*owners) if owners else ():
        if isinstance(each, type):
            found.update({id(space): each for space in gc.get_referents(each) if id(space) in ids})
    return found


def _entries(owner: Any) -> tuple[int, Iterator[tuple[Any, Any]]]:
    """How it keeps things, and all that it keeps, by name."""
    if isinstance(owner, dict):
        return _ITEM, iter(list(owner.items()))
    if isinstance(owner, list):
        return _ITEM, enumerate(list(owner))
    if isinstance(owner, set):
        return _ELEMENT, iter([(each, each) for each in owner])
    if isinstance(owner, CellType):
        return _ATTRIBUTE, iter([("cell_contents", owner.cell_contents)])
    if isinstance(owner, FunctionType):
        return _ATTRIBUTE, iter([("__defaults__", owner.__defaults__)])
    slots = [name for each in type(owner).__mro__ for name in (*each.__dict__.get("__slots__", ()),)]
    return _ATTRIBUTE, iter([(name, getattr(owner, name, None)) for name in (*getattr(owner, "__dict__", ()), *slots)])


def renew() -> None:
    """In a worker, whose environment is its user's."""
    if not _kept:
        return
    _bases[:] = _folders()
    for how, owner, name, value in _kept:
        with suppress(Exception):
            _put(how, owner, name, value)


def _folders() -> list[tuple[str, str]]:
    """A folder of the template's, the user's; what is inside another comes before it."""
    environ = os.environ
    home = os.path.expanduser("~")
    config = environ.get("XDG_CONFIG_HOME") or f"{home}/.config"
    cache = environ.get("XDG_CACHE_HOME") or f"{home}/.cache"
    return [
        (stage.scratch(_home), _directory()),
        (f"{_home}/matplotlib", environ.get("MPLCONFIGDIR") or f"{config}/matplotlib"),
        (f"{_home}/ipython", environ.get("IPYTHONDIR") or f"{home}/.ipython"),
        (f"{_home}/cache", cache),
        (f"{_home}/.cache", cache),
        (f"{_home}/.config", config),
        (f"{_home}/.local/share", environ.get("XDG_DATA_HOME") or f"{home}/.local/share"),
        (_home, home),
    ]


def _directory() -> str:
    try:
        return os.getcwd()
    except OSError:  # it is gone
        return os.curdir


def _put(how: int, owner: Any, name: Any, value: Any) -> None:
    if how == _ITEM:
        owner[name] = _moved(value)
    elif how == _ELEMENT:
        owner.discard(value)
        owner.add(_moved(value))
    elif isinstance(owner, type | FunctionType | CellType):
        setattr(owner, name, _moved(value))
    else:
        object.__setattr__(owner, name, _moved(value))


def _moved(value: Any) -> Any:
    """The same of the user's."""
    if isinstance(value, tuple):
        parts = map(_moved, value)
        return type(value)._make(parts) if hasattr(value, "_make") else type(value)(parts)
    if isinstance(value, bytes):
        return os.fsencode(_moved(os.fsdecode(value)))
    if isinstance(value, PurePath):
        return type(value)(_moved(str(value)))
    if isinstance(value, str):
        for base, theirs in _bases:
            if value.startswith(base) and value[len(base) : len(base) + 1] in ("", os.sep):
                return theirs + value[len(base) :]
    return value
