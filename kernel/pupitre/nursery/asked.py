# SPDX-License-Identifier: BSD-3-Clause
"""Which variables of the environment counted while the template was built, and so count for every worker.

What packages ask os.environ for is noted here, what libraries ask getenv for in kernel/nursery/heap/asked.c. A user
whose value is another than the template's gets a cold kernel, unless a worker makes up for that name.
"""

import os
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import _nursery
else:
    import _nursery

# Names that a worker makes up for, as patterns, and where it does.
_LATE = "nothing is kept: it is asked for when it is needed"
RENEWED = {
    "HOME": "fresh: _set_path, _set_matplotlib, _set_caches; engine.move_in",
    "PATH": _LATE,
    "LANG": "become_environment; texts of the library are translated when they are shown",
    "LANGUAGE": _LATE,
    "LC_*": "as LANG",
    "TERM": "only what a terminal would show depends on it",
    "COLUMNS": "shell.move_in, for the help of magics; else as LINES",
    "LINES": _LATE,
    "TMPDIR": "fresh: _set_caches",
    "TEMP": "as TMPDIR",
    "TMP": "as TMPDIR",
    "XDG_CACHE_HOME": "fresh: _set_caches",
    "XDG_CONFIG_HOME": "fresh: _set_matplotlib",
    "XDG_DATA_HOME": "fresh: _set_matplotlib; compiler.forget_place",
    "XDG_RUNTIME_DIR": "compiler.forget_place",
    "JUPYTER_RUNTIME_DIR": "compiler.forget_place",
    "JUPYTER_DATA_DIR": "compiler.forget_place",
    "IPYTHONDIR": "engine.move_in",
    "JPY_SESSION_NAME": "shell.move_in",
    "IPYKERNEL_CELL_NAME": _LATE,
    "MPL*": "fresh: _set_matplotlib, which may say that it cannot",
    "MATPLOTLIBRC": "as MPL*",
    "PYTHON*": "fresh: _set_interpreter, _set_path; others make a kernel cold already in the front (environment.c)",
    "*_NUM_THREADS": "more than one makes a kernel cold already in the front",
    "PUPITRE_*": "of our own programs",
}

_names: set[str] = set()  # as patterns
_exact: list[bytes] = []  # those of them that nobody makes up for
_beginnings: list[bytes] = []  # likewise
then: dict[bytes, bytes] = {}  # the environment before anything was imported
_set: dict[str, str | None] = {}  # what packages made of it, None: removed
_kind: Any = type(os.environ)
_get, _list = _kind.__getitem__, _kind.__iter__


class _Listed(str):
    """A name that was listed with all others: what somebody looks for among them is noted."""

    __slots__ = ()

    def startswith(self, prefix: Any, *places: Any) -> bool:
        for each in (prefix,) if isinstance(prefix, str) else prefix:
            if not places:
                _names.add(f"{each}*")
        return super().startswith(prefix, *places)


def _get_and_note(environ: Any, name: Any) -> Any:
    """os.environ[name] while packages are imported."""
    if isinstance(name, str) and not isinstance(name, _Listed):
        _names.add(name)
    return _get(environ, name)


def _list_and_note(environ: Any) -> Iterator[Any]:
    return (_Listed(name) if isinstance(name, str) else name for name in _list(environ))


def watch() -> None:
    """In the template, before IPython is imported, and all that follows."""
    then.update(os.environb)
    _kind.__getitem__, _kind.__iter__ = _get_and_note, _list_and_note


def settle() -> None:
    """In the template, when everything is imported and rehearsed."""
    _kind.__getitem__, _kind.__iter__ = _get, _list
    _names.update(name.decode(errors="surrogateescape") for name in _nursery.names_asked())
    for name in _names:
        if not _is_renewed(name):
            start, star, _ = os.fsencode(name).partition(b"*")
            (_beginnings if star else _exact).append(start)


def _is_renewed(name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in RENEWED)


def note_settings(before: dict[bytes, bytes], but: set[str]) -> None:
    """In the template: what packages have set since `before`, but for these names. Who imports them has it as well."""
    now: dict[bytes, bytes] = os.environ._data  # type: ignore[attr-defined]
    for name in before.keys() | now.keys():
        text, value = os.fsdecode(name), now.get(name)
        if value != before.get(name) and text not in but and not _is_renewed(text):
            _set[text] = None if value is None else os.fsdecode(value)


def set_again() -> None:
    """In a worker, whose environment is its user's: what packages set in it when they are imported."""
    for name, value in _set.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def differs(environment: dict[bytes, bytes]) -> bytes | None:
    """In a worker: a variable whose value in this environment is one that the template cannot stand for.

    An empty value is as good as none.
    """
    for name in _exact:
        if (environment.get(name) or None) != (then.get(name) or None):
            return name
    for start in _beginnings:
        for name, value in environment.items():
            if name.startswith(start) and value and then.get(name) != value:
                return name
    return None
