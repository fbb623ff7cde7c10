# SPDX-License-Identifier: BSD-3-Clause
"""How another client reaches this kernel: for %connect_info, %qtconsole and ipykernel.get_connection_file()."""

import sys
from json import dumps, loads
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any


def get_connection_file(app: Any = None) -> str:
    """The absolute path of the kernel's connection file. RuntimeError outside a kernel."""
    if app is None:
        from .app import IPKernelApp

        if not IPKernelApp.initialized():
            raise RuntimeError("app not specified, and not in a running kernel")
        app = IPKernelApp.instance()
    return str(Path(app.connection_file).absolute())


def connection(app: Any) -> dict[str, Any]:
    """What the connection file says; nothing if it cannot be read."""
    try:
        info: dict[str, Any] = loads(Path(app.connection_file).read_text())
    except (OSError, ValueError):
        return {}
    return info


def get_connection_info(connection_file: str | None = None, unpack: bool = False) -> Any:
    """The content of the connection file, as JSON text or (`unpack`) as a dict with the key in bytes."""
    path = Path(connection_file or get_connection_file())
    info = loads(path.read_text())
    if not unpack:
        return dumps(info, indent=2)
    info["key"] = info.get("key", "").encode()
    return info


def connect_qtconsole(connection_file: str | None = None, argv: list[str] | None = None) -> Popen[bytes]:
    """Start a qtconsole on this kernel."""
    code = "from qtconsole import qtconsoleapp; qtconsoleapp.main()"
    path = connection_file or get_connection_file()
    command = [sys.executable, "-c", code, "--existing", path, *(argv or [])]
    return Popen(command, stdout=PIPE, stderr=PIPE, start_new_session=True)
