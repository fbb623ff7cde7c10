# SPDX-License-Identifier: BSD-3-Clause
"""ipykernel as seen from a cell of Pupitre. `version_info` is that of the ipykernel whose interface this follows."""

from importlib import import_module
from typing import Any

version_info = (7, 4, 0)
__version__ = "7.4.0"
kernel_protocol_version_info = (5, 3)
kernel_protocol_version = "5.3"

_LATER = ("connect_qtconsole", "get_connection_file", "get_connection_info")


def __getattr__(name: str) -> Any:
    if name in _LATER:
        from pupitre import connect

        return getattr(connect, name)
    if not name.startswith("_"):  # programs write ipykernel.iostream.OutStream, because a kernel has imported that
        try:
            return import_module(f"ipykernel.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"ipykernel.{name}":
                raise
    raise AttributeError(f"module 'ipykernel' has no attribute {name!r}")
