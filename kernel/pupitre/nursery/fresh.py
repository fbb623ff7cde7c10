# SPDX-License-Identifier: BSD-3-Clause
"""What a forked worker does in Python before its first request: everything that a cold start would have taken from the
user's environment, home directory or from chance, and that the template took from its own.
"""

import codecs
import gc
import os
import signal
import site
import sys
import sysconfig
import threading
import time
import warnings
from contextlib import suppress
from io import FileIO, TextIOWrapper
from types import ModuleType
from typing import Any

from pupitre import compiler, door

from . import asked, belongings, chance, folders

_imported: dict[str, str] = {}
_begun = time.time() - 10.0  # seconds; no later than this process
_UNITS = (1, 10**9)  # of moments: seconds, nanoseconds
_moments: list[tuple[dict[str, Any], str, int]] = []  # a module's globals, a name in them, the unit
_filters = 0
_matplotlib_answers: list[Any] = []  # cells of closures
_INLINE = "module://matplotlib_inline.backend_inline"


def awake(environment: dict[bytes, bytes], python: str, ignored: int = 0) -> bool:
    """Become the worker of the user whose `environment` this is; C has done its part of it. `python`: sys.executable.

    `ignored`: signals that are, bit N - 1 for signal N.

    False if this user would import something else than the template did: the process ends, and the kernel starts cold.
    """
    if asked.differs(environment):
        return False
    module = sys.modules["_pupitre"]
    door.link_fd, door.wake_fd = module.link_fd, module.wake_fd
    belongings.replace_files()
    _set_environment(environment)
    asked.set_again()
    _set_interpreter(python)
    _set_signals(ignored)
    own = _set_path()
    if _is_shadowed(own) or not _set_matplotlib():
        return False
    folders.renew()
    _set_caches()
    chance.reseed()
    _set_clocks()
    gc.enable()
    return True


def _set_environment(environment: dict[bytes, bytes]) -> None:
    data: dict[bytes, bytes] = os.environ._data  # type: ignore[attr-defined]
    data.clear()
    data.update(environment)
    posix = sys.modules["posix"]
    posix.environ.clear()
    posix.environ.update(environment)


def _set_interpreter(python: str) -> None:
    """What the command line and the PYTHON* variables say."""
    environ = os.environ
    if python:
        sys.executable = python
        sys.orig_argv = [python]
    if _is_on("PYTHONDONTWRITEBYTECODE"):
        sys.dont_write_bytecode = True
    if environ.get("PYTHONPYCACHEPREFIX"):
        sys.pycache_prefix = os.path.abspath(environ["PYTHONPYCACHEPREFIX"])
    options = [option for option in environ.get("PYTHONWARNINGS", "").split(",") if option]
    if options:
        sys.warnoptions[:0] = options
        _set_warnings(options)
    time.tzset()
    threading.main_thread()._set_native_id()  # type: ignore[attr-defined]
    _set_files(environ.get("PYTHONIOENCODING", ""), _is_on("PYTHONUNBUFFERED"))


def _is_on(name: str) -> bool:
    """As Python reads a variable that switches something on: any text but nought."""
    value = os.environ.get(name, "")
    try:
        return int(value) != 0
    except ValueError:
        return value != ""


def _set_signals(ignored: int) -> None:
    """Python looks at how signals are handled once, when it starts."""
    for number in range(1, signal.NSIG):
        if ignored >> (number - 1) & 1:
            with suppress(OSError):  # those that the worker itself needs
                signal.signal(number, signal.SIG_IGN)


def remember_filters() -> None:
    """In the template, before anything is imported: Python's own filters of warnings."""
    global _filters
    _filters = len(warnings.filters)


def _set_warnings(options: list[str]) -> None:
    """Between Python's own filters and those of packages, which came later and are asked first."""
    filters: Any = warnings.filters
    packages = filters[: len(filters) - _filters]
    del filters[: len(packages)]
    warnings._processoptions(options)  # type: ignore[attr-defined]
    filters[:0] = packages


def forget_warnings() -> None:
    """In the template, when everything is rehearsed: which warnings were shown, as each is once in a process."""
    for module in list(sys.modules.values()):
        if isinstance(module, ModuleType):  # and loads nothing that waits to be looked at
            object.__getattribute__(module, "__dict__").pop("__warningregistry__", None)
    warnings.onceregistry.clear()  # type: ignore[attr-defined]


def _set_files(encoding: str, unbuffered: bool) -> None:
    """Python's own files of descriptors 0 to 2, as two variables want them. `encoding`: CODEC:ERRORS, both optional."""
    if not encoding and not unbuffered:
        return
    codec, _, errors = encoding.partition(":")
    with suppress(LookupError):  # Python would not start; a kernel does
        codec = codecs.lookup(codec).name
    for number, name in enumerate(("__stdin__", "__stdout__", "__stderr__")):
        file: TextIOWrapper = getattr(sys, name)
        if number > 0 and unbuffered:
            raw: Any = FileIO(number, "w", closefd=False)
            raw.name = file.name
            file = TextIOWrapper(raw, file.encoding, file.errors, "\n")
            file.mode = "w"  # type: ignore[misc]
            setattr(sys, name, file)
        with suppress(LookupError):
            file.reconfigure(
                encoding=codec or None,
                errors="backslashreplace" if number == 2 else errors or ("strict" if codec else None),
                write_through=unbuffered,
            )


def _set_path() -> list[str]:
    """sys.path as a cold start makes it: PYTHONPATH, the library, the user's site directory, site-packages.

    Returns the directories that the template did not have.
    """
    sys.path[:] = [path for path in sys.path if path != ""]
    before = list(sys.path)
    site.USER_BASE = site.USER_SITE = None
    if site.ENABLE_USER_SITE:
        site.ENABLE_USER_SITE = site.check_enableusersite()
    if site.ENABLE_USER_SITE:
        _add_user_site()
    first = [os.path.abspath(path) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:0] = [path for path in dict.fromkeys(first) if path not in sys.path]
    variables = getattr(sysconfig, "_CONFIG_VARS", None)
    if variables:
        variables["userbase"] = site.getuserbase()
    site.getusersitepackages()  # which remembers it
    return [path for path in sys.path if path not in before]


def _add_user_site() -> None:
    """Before the first site-packages, with the .pth files that it holds."""
    place = site.getusersitepackages()
    if not os.path.isdir(place):
        return
    known = [os.path.basename(path) in ("site-packages", "dist-packages") for path in sys.path]
    at = known.index(True) if True in known else len(sys.path)
    rest = sys.path[at:]
    del sys.path[at:]
    site.addsitedir(place)
    sys.path.extend(path for path in rest if path not in sys.path)
    if "usercustomize" not in sys.modules:
        site.execusercustomize()


def remember_imports() -> None:
    """In the template, when everything is imported: what it has, and from which directory."""
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and "." not in name:
            is_package = hasattr(module, "__path__")
            _imported[name] = os.path.dirname(os.path.dirname(file) if is_package else file)


def _is_shadowed(own: list[str]) -> bool:
    """Whether a directory of the user's has a module that the template imported from elsewhere."""
    at = {path: i for i, path in enumerate(sys.path)}
    library = os.path.dirname(os.__file__)
    here = os.getcwd()
    at.setdefault(here, max(at.get(library, -1), at.get(os.path.join(library, "lib-dynload"), -1)))  # app.init_path
    for place in (*own, here):
        with suppress(OSError):
            names = {entry.removesuffix(".py") for entry in os.listdir(place)}
            for name in names & _imported.keys():
                if at[place] < at.get(_imported[name], len(at)) and _has_module(place, name):
                    return True
    return False


def _has_module(place: str, name: str) -> bool:
    base = os.path.join(place, name)
    return os.path.exists(base + ".py") or os.path.exists(os.path.join(base, "__init__.py"))


def _set_matplotlib() -> bool:
    """The user's directories. False if they have a backend, matplotlibrc, styles or fonts, which count at import."""
    for cell in _matplotlib_answers:
        cell.cell_contents = False
    if "matplotlib" not in sys.modules:
        return True
    environ = os.environ
    if "MATPLOTLIBRC" in environ or environ.get("MPLBACKEND", _INLINE) != _INLINE:
        return False
    config = environ.get("MPLCONFIGDIR") or os.path.join(
        environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config"), "matplotlib"
    )
    home = os.path.expanduser("~")
    fonts = os.path.join(environ.get("XDG_DATA_HOME") or os.path.join(home, ".local/share"), "fonts")
    own = (
        "matplotlibrc",
        os.path.join(config, "matplotlibrc"),
        os.path.join(config, "stylelib"),
        fonts,
        f"{home}/.fonts",
    )
    return not any(map(os.path.exists, own))


def remember_matplotlib() -> None:
    """In the template: where matplotlib keeps whether it knows its directories already."""
    matplotlib = sys.modules.get("matplotlib")
    for name in ("get_configdir", "get_cachedir"):
        function = getattr(matplotlib, name, None)
        if function is not None and "called" in function.__code__.co_freevars:
            _matplotlib_answers.append(function.__closure__[function.__code__.co_freevars.index("called")])


def remember_moments() -> None:
    """In the template, when everything is rehearsed: which globals say when a module was imported."""
    end = time.time()
    for module in list(sys.modules.values()):
        if isinstance(module, ModuleType):  # and loads nothing that waits to be looked at
            space: dict[str, Any] = object.__getattribute__(module, "__dict__")
            for name, value in space.items():
                if type(value) in (int, float):
                    _moments.extend((space, name, unit) for unit in _UNITS if _begun <= value / unit <= end)


def _set_clocks() -> None:
    """This process began now, and with it everything in it."""
    now = time.time()
    for space, name, unit in _moments:
        space[name] = type(space[name])(now * unit)


def _set_caches() -> None:
    """Directories below the home directory that packages, and we, worked out when they were imported."""
    compiler.forget_place()
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    settings = sys.modules.get("jedi.settings")
    if settings is not None:
        settings.cache_directory = os.path.join(cache, "jedi")  # type: ignore[attr-defined]
    parso = sys.modules.get("parso.cache")
    if parso is not None:
        with suppress(Exception):
            parso._default_cache_path = parso._get_default_cache_path()  # type: ignore[attr-defined]
    tempfile = sys.modules.get("tempfile")
    if tempfile is not None:
        tempfile.tempdir = tempfile._name_sequence = None  # type: ignore[attr-defined]


def flush() -> None:
    """The end of a forked worker: what files still hold that nobody closed, Python's own included."""
    gc.collect()
    belongings.flush_files()
    for name in ("stdout", "stderr", "__stdout__", "__stderr__"):
        with suppress(BaseException):
            getattr(sys, name).flush()
