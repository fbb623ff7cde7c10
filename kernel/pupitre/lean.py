# SPDX-License-Identifier: BSD-3-Clause
"""Imports asyncio and IPython without what a kernel rarely needs. Import this module before either.

A kernel's memory is mostly modules, and a classroom server pays for them once per student. Two imports carry much that most
sessions never touch: asyncio brings in ssl (OpenSSL: about 2 MB), and IPython before 9.10 brings in its terminal with
prompt_toolkit (about 10 MB). While those packages are imported, light stand-ins take the places of these modules; each loads the
real one at the first attribute anybody asks for, so nothing is missing, only later.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class LaterModule(ModuleType):
    """Stands in for a module inside the package that imported it; becomes the real one's mirror when used."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        real = import_module(self.__name__)
        value = getattr(real, name)
        self.__dict__.setdefault(name, value)
        return value


def _import_without(package: str, *left_out: str) -> None:
    """Import `package` with LaterModules where it imports `left_out`, unless they are loaded already."""
    placed = [name for name in left_out if name not in sys.modules]
    for name in placed:
        sys.modules[name] = LaterModule(name)
    try:
        import_module(package)
    finally:
        for name in placed:
            if isinstance(sys.modules.get(name), LaterModule):
                del sys.modules[name]


_import_without("asyncio", "ssl", "asyncio.sslproto")
_import_without("IPython", "IPython.terminal.embed")
