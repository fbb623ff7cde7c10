# SPDX-License-Identifier: BSD-3-Clause
"""Where the worker enters Python: main() builds the application and serves requests until the front says EXIT."""

import builtins
import logging
import os
import sys
from json import loads
from time import sleep
from typing import Any

from . import (
    disposable,
    door,
    imports,
    lean,  # noqa: F401 - first: it decides what asyncio and IPython bring along
)
from .app import BAD_OPTIONS, IPKernelApp
from .display import ZMQDisplayHook
from .info import kernel_info
from .jsonout import encode
from .kernel import IPythonKernel
from .loop import Loop
from .otherloops import let_cells_run_loops
from .shell import ZMQInteractiveShell
from .streams import OutStream

LOG = logging.getLogger("pupitre")

# Exit statuses. The first two are documented for pupitre-kernel.
_ORPHANED = 1
_USAGE = 2
_BROKEN = 70


def main(start_json: bytes) -> int:
    """Serve one kernel. `start_json`: the content of the START frame. Returns the exit status of the process."""
    start = loads(start_json)
    sys.argv = [imports.LAUNCHER, *start.get("argv", [])]
    forked = IPKernelApp.initialized()
    if not forked:
        sys.stdout, sys.stderr = OutStream(1), OutStream(2)
    try:
        app = move_in(start, Loop()) if forked else build(start, Loop())
    except BAD_OPTIONS as error:
        os.write(2, f"pupitre-kernel: {IPKernelApp.reason(error) or 'bad options'}\n".encode())
        return _USAGE
    kernel: IPythonKernel = app.kernel
    sys.displayhook = ZMQDisplayHook(app.shell)
    protect()
    disposable.remember()
    door.set_handler(kernel.handle, kernel.fail)
    try:
        door.call_user(0, 0, app.run_startup_code)
    except BaseException as error:  # startup files may raise anything; the kernel starts all the same
        warn("startup code", error)
    greet(app)
    kernel.rest_later()
    try:
        kernel.loop.serve()
    except SystemExit as end:
        kernel.status = status_of(end)
        door.send(door.BYE, 0, kernel.status, [])
        show_end(end)
    except Exception as error:
        if not isinstance(error, EOFError):
            os.write(2, f"pupitre-kernel: the event loop broke: {type(error).__name__}: {error}\n".encode())
        kernel.status = _ORPHANED if isinstance(error, EOFError) else _BROKEN
    return leave(kernel)


def warn(when: str, error: BaseException) -> None:
    """Log what user code raised. Its repr and the handlers of the log are user code, too."""
    try:
        door.call_user(0, 0, LOG.warning, "%s: %r", when, error)
    except BaseException:  # that is its own affair
        return


def greet(app: IPKernelApp) -> None:
    """Tell the front who we are."""
    door.send(door.HELLO, 0, 0, [encode(kernel_info(app.shell.banner, app.kernel.help_links))])


def move_in(start: dict[str, Any], loop: Loop) -> IPKernelApp:
    """As build(), in a worker that was forked from a template: the application is there and becomes this user's.

    A user with options or configuration of their own gets a new one, because both take effect while it is built.
    """
    app: IPKernelApp = IPKernelApp.instance()
    if start.get("arguments") or app.has_configuration():
        for made in (IPKernelApp, IPythonKernel, ZMQInteractiveShell):
            made.clear_instance()
        resting = app.kernel.resting
        app = build(start, loop)
        if resting is not None:
            app.kernel.rest_with(resting.act)
        plot_again()
        return app
    let_cells_run_loops(loop)
    app.kernel.loop = loop
    introduce(app, start)
    app.move_in()
    return app


def plot_again() -> None:
    """Matplotlib, where it is loaded, works with a shell that is no more: introduce it to the one that is."""
    backend, config = map(sys.modules.get, ("matplotlib_inline.backend_inline", "matplotlib_inline.config"))
    pyplot: Any = sys.modules.get("matplotlib.pyplot")
    if backend is None or config is None or pyplot is None:
        return
    pyplot._REPL_DISPLAYHOOK = pyplot._ReplDisplayHook.NONE
    pyplot.install_repl_displayhook()
    config.InlineBackend.clear_instance()
    backend.configure_inline_support.current_backend = "unset"
    backend._enable_matplotlib_integration()


def introduce(app: IPKernelApp, start: dict[str, Any]) -> None:
    """Which kernel this is."""
    app.kernel.ident = start.get("ident", "")
    app.kernel.session.session = start.get("session", "")
    app.connection_file = app.config.IPKernelApp.connection_file = start.get("connection_file", "")


def build(start: dict[str, Any], loop: Loop | None) -> IPKernelApp:
    """The application with its shell and kernel, ready to serve. `loop`: None in a template."""
    imports.install()
    if loop is not None:
        let_cells_run_loops(loop)
    app = IPKernelApp.instance()
    app.loop = loop
    app.initialize(list(start.get("arguments") or []))
    introduce(app, start)
    app.kernel.begin(app.shell)
    return app


def forget_numpy(shell: ZMQInteractiveShell) -> None:
    """IPython shows np.float64(1.5) as 1.5 where numpy was imported before the first display: in a template, but not by
    users.
    """
    printers = shell.display_formatter.formatters["text/plain"].type_printers
    printers.pop(getattr(sys.modules.get("numpy"), "float64", None), None)


def protect() -> None:
    """Tell C what must not be broken.

    IPython itself takes exit and quit out of builtins while a cell runs, so they are not part of it.
    """
    hidden: dict[str, Any] = {
        name: builtins.__dict__.pop(name) for name in ("exit", "quit") if name in builtins.__dict__
    }
    door.protect()
    builtins.__dict__.update(hidden)


def status_of(end: SystemExit) -> int:
    """What Python makes of it: a text is a failure."""
    return (end.code or 0) & 0xFF if end.code is None or isinstance(end.code, int) else 1


def show_end(end: SystemExit) -> None:
    """As Python shows a text that the code ended with. Its __str__ and sys.stderr are the user's."""
    if end.code is None or isinstance(end.code, int):
        return
    try:
        door.call_user(0, 0, lambda: print(end.code, file=sys.stderr))
    except BaseException:  # that is its own affair
        return


def leave(kernel: IPythonKernel) -> int:
    """The orderly end, in Python's order: threads that are not daemons, atexit functions; IPython's; then the status.

    Python would do the first two by itself, but not as user code, which prints into the last cell and can be stopped.
    """
    from atexit import _run_exitfuncs
    from threading import _shutdown  # type: ignore[attr-defined]

    broken = kernel.status == _BROKEN
    for function in (*(() if broken else (_shutdown,)), _run_exitfuncs, kernel.shell.atexit_operations):
        try:
            door.call_user(0, 0, function)
        except BaseException as error:
            warn("at the end", error)
    if broken:  # requests wait for word of it: nobody asked for this end, nor waits for threads
        os._exit(_BROKEN)
    sleep(max(0.0, kernel.stay_until - kernel.loop.time()))
    return kernel.status
