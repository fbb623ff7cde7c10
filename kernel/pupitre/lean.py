# SPDX-License-Identifier: BSD-3-Clause
"""Imports asyncio, traitlets and IPython without what a kernel rarely needs. Imported before anything that imports one
of them.

A kernel's memory is mostly modules, and a classroom server pays for them once per student. Some imports carry much that
most sessions never touch: asyncio brings ssl (OpenSSL: 2 MB), traitlets brings logging.config with its handlers,
socketserver and pickle (0.8 MB), IPython before 9.10 brings its terminal with prompt_toolkit (10 MB). While those
packages are imported, light stand-ins take the places of these modules. A stand-in loads the real module at the first
attribute anybody asks for: nothing is missing, only later.
"""

import sys
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any


class LaterModule(ModuleType):
    """Stands in for a module inside the package that imported it.

    `functions`: names that may be imported from it before it is real.
    """

    def __init__(self, name: str, functions: tuple[str, ...] = ()) -> None:
        super().__init__(name)
        for function in functions:
            setattr(self, function, _later_function(name, function))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        value = getattr(import_module(self.__name__), name)
        self.__dict__.setdefault(name, value)
        return value


def _later_function(module: str, name: str) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        return getattr(import_module(module), name)(*args, **kwargs)

    return call


def import_without(package: str, left_out: dict[str, tuple[str, ...]]) -> None:
    """Import `package` with stand-ins where it imports `left_out` (module: functions imported from it by name)."""
    placed = {name: LaterModule(name, functions) for name, functions in left_out.items() if name not in sys.modules}
    sys.modules.update(placed)
    try:
        import_module(package)
    finally:
        for name, module in placed.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]
            parent, _, last = name.rpartition(".")
            if parent in sys.modules and not hasattr(sys.modules[parent], last):
                setattr(sys.modules[parent], last, module)


import_without("shutil", {"bz2": (), "lzma": ()})
import_without("urllib.parse", {"ipaddress": ()})
import_without("asyncio", {"ssl": (), "asyncio.sslproto": ()})
import_without("traitlets.config.application", {"logging.config": ("dictConfig",), "pprint": ()})
import_without("IPython", {"IPython.terminal.embed": ("embed",)})
