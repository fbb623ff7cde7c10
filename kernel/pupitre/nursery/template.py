# SPDX-License-Identifier: BSD-3-Clause
"""Builds the template: the Python that workers are forked from.

Runs in `pupitre-template` before it takes orders. Imports the packages of the course, makes the application, its shell
and its kernel, rehearses a session, and leaves a heap whose pages children seldom write to. The order of the steps
matters: docs/memory.md says what each is worth.
"""

import faulthandler  # noqa: F401 - C imports it in every worker: eleven pages less
import gc
import os
import sys
import sysconfig
from contextlib import suppress
from functools import partial
from importlib import import_module
from json import loads
from time import monotonic, process_time
from typing import TYPE_CHECKING, Any

from pupitre import disposable, door, engine
from pupitre.app import IPKernelApp
from pupitre.streams import OutStream

from . import asked, belongings, bytecode, chance, folders, fresh, packages, probe, rehearsal, selftest, stage, trial

if TYPE_CHECKING:
    from . import _nursery
else:
    import _nursery


Watched = tuple[str, int, int]  # a path, its time of change in nanoseconds, and its inode

_REST_MAX = 0.05  # seconds of processor time that a cell may have to wait
_resting = 0.0


class Unfit(Exception):
    """This Python must not be forked; the text says why, in one line."""

    exit_status = 0  # of the nursery; 0: perhaps the next one may be, so it tries again


class Mistake(Unfit):
    """Nor may the next, until somebody changes what is imported."""

    exit_status = 2


def build(settings_json: str) -> tuple[str, list[Watched], int]:
    """What `pupitre-template` calls. `settings_json`: an object with

    imports    names of modules to import; one that cannot be imported makes the template unfit, and one that starts
               threads or keeps what cannot be forked (trial.py) is left out and named
    rehearsal  path of a notebook whose code cells are run as well, or null
    tricks     {name: bool}: freeze rehearse plug malloc thp_off memfd immortal counters trim
               fork_complete prefault; absent means true

    idle_rebuild  seconds without a fork, after the first one, when another template takes over; 0: never

    Returns the fingerprint, one line for people; the paths whose change makes the template stale, as they were when it
    was known that no package had changed meanwhile; idle_rebuild.
    """
    settings = loads(settings_json)
    tricks = settings.get("tricks") or {}
    begin = monotonic()
    gc.disable()
    fresh.remember_filters()
    chance.watch()
    if tricks.get("malloc", True):
        _nursery.tune_malloc()
    if tricks.get("thp_off", True):
        _nursery.thp_off()
    sys.stdout, sys.stderr = OutStream(1), OutStream(2)
    stage.enter()
    app = engine.build({}, None)
    door.call_user(0, 0, app.run_startup_code)
    belongings.watch()
    with app.shell.builtin_trap:  # packages look for get_ipython while they are imported, as in a cell
        before = dict(os.environ._data)  # type: ignore[attr-defined]
        left_out = _import(settings.get("imports") or [])
        asked.note_settings(before, {name for names in trial.SETTINGS.values() for name in names})
    if tricks.get("rehearse", True):
        rehearsal.run(app, settings.get("rehearsal"))
        rehearsal.be_born(app)
    stage.leave()
    belongings.settle()
    fresh.forget_warnings()
    fresh.remember_imports()
    fresh.remember_matplotlib()
    fresh.remember_moments()
    asked.settle()
    chance.settle()
    folders.settle()
    engine.protect()
    _refuse_threads()
    if tricks.get("trim", True):
        app.kernel.rest_with(rest)
    done = _settle(tricks)
    disposable.enabled = tricks.get("fork_complete", True)
    if disposable.enabled:
        done.append("fork_complete")
    _refuse_threads()
    _nursery.note_shared()
    selftest.run()
    if tricks.get("prefault", True):
        with suppress(probe.Failed):
            if _did(_nursery.expect_copies(probe.ask(partial(_list_copies, app)))):
                done.append("prefault")
    watched = _watched()
    packages.end()
    if refused := stage.dismiss_guard():
        raise Unfit(refused)
    return _fingerprint(left_out, settings, done, monotonic() - begin), watched, settings.get("idle_rebuild") or 0


def _import(names: list[str]) -> dict[str, str]:
    """Those that are left out, and why."""
    left_out = {}
    for name in names:
        reason = trial.check_import(name)
        if reason:
            left_out[name] = reason
            stage.tell(f"{name} is left out: {reason}")
            continue
        try:
            import_module(name)
        except ModuleNotFoundError as error:
            is_mistake = error.name == name.partition(".")[0] and not packages.have_changed()
            raise (Mistake if is_mistake else Unfit)(f"cannot import {name}: {error}") from error
        except Exception as error:
            raise Unfit(f"cannot import {name}: {type(error).__name__}: {error}") from error
    return left_out


def _refuse_threads() -> None:
    found = trial.threads()
    if found:
        raise Unfit(f"it has threads, with which no process may be forked: {', '.join(found)}")


def _settle(tricks: dict[str, bool]) -> list[str]:
    """Leave a heap that children do not write to. Names of what was done."""
    done = []
    gc.collect()
    for name, step in (
        ("counters", _note_counters),
        ("plug", _nursery.plug_holes),
        ("immortal", _nursery.immortalise),
    ):
        if tricks.get(name, True) and _did(step()):
            done.append(name)
    if tricks.get("freeze", True):
        gc.freeze()
        done.append("freeze")
    if tricks.get("memfd", True) and _did(_nursery.remap_heap()):
        done.append("memfd")
    return done


def _note_counters() -> dict[str, Any]:
    try:
        layout = bytecode.layout()
    except ImportError as error:
        return {"refused": str(error)}
    return _nursery.note_counters(gc.get_objects(), bytecode.layout.__code__, layout)


def _collect() -> None:
    """As user code: while ours runs nothing is collected by itself, and isenabled() would say so."""
    if gc.isenabled():
        gc.collect(1)


def rest() -> None:
    """In a worker, when its student pauses: give back what the last cells left. Not if that took long the last time."""
    global _resting
    begin = process_time()
    if _resting < _REST_MAX:
        with suppress(KeyboardInterrupt):
            door.call_user(0, 0, _collect)  # the student's finalisers
        _nursery.trim()
        _nursery.reshare()
        _resting = process_time() - begin
    else:
        _resting /= 2  # the next time but one or two


def _list_copies(app: IPKernelApp) -> bytes:
    rehearsal.begin(app)
    return _nursery.list_copies()


def _did(outcome: dict[str, Any]) -> bool:
    """Whether a step of `_nursery` was taken, and not refused with a reason."""
    return not outcome.get("refused")


def _fingerprint(left_out: dict[str, str], settings: dict[str, Any], done: list[str], seconds: float) -> str:
    version = ".".join(map(str, sys.version_info[:3]))
    without = "".join(f"; left out: {name}: {reason.replace(';', ',')}" for name, reason in left_out.items())
    names = " ".join(
        f"{name} {getattr(sys.modules[name], '__version__', '')}".strip()
        for name in dict.fromkeys(name.partition(".")[0] for name in settings.get("imports") or [])
        if name in sys.modules
    )
    tricks = f"tricks: {'+'.join(done) or 'none'}"
    return f"Python {version}{without}; {names or 'no packages'}; {tricks}; loaded in {seconds:.1f} s"


def _watched() -> list[Watched]:
    """What changes when packages are installed, upgraded or removed, or the interpreter is replaced."""
    places = [*sys.path, sys.executable, os.path.join(sys.prefix, "pyvenv.cfg"), os.path.dirname(door.__file__)]
    library = sysconfig.get_config_var("INSTSONAME")
    if library:
        places.append(os.path.join(sysconfig.get_config_var("LIBDIR") or "", library))
    found = []
    for place in dict.fromkeys(places):
        with suppress(OSError):
            if os.path.isabs(place):
                status = os.stat(place)
                found.append((place, status.st_mtime_ns, status.st_ino))
    return found
