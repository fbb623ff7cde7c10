# SPDX-License-Identifier: BSD-3-Clause
"""IPKernelApp: finds profile, configuration files and startup files with IPython's own machinery and makes the shell.

The name is that of ipykernel's application, because `c.IPKernelApp...` stands in users' configuration files and
libraries look for 'IPKernelApp' in get_ipython().config.
"""

import logging
import os
import sys
import warnings
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any

from IPython.core.application import BaseIPythonApplication, base_aliases, base_flags
from IPython.core.profiledir import ProfileDir
from IPython.core.shellapp import InteractiveShellApp, shell_aliases, shell_flags
from IPython.paths import get_ipython_dir
from traitlets import Bool, Instance, Integer, TraitError, Type, Unicode, default
from traitlets.config import Config

from .arguments import sort_out
from .connect import connection
from .display import ZMQDisplayPublisher
from .history import HistoryManager
from .kernel import IPythonKernel
from .later import Completed
from .loop import Loop
from .shell import ZMQInteractiveShell
from .wire import log

BAD_OPTIONS = (TraitError, SystemExit)  # what initialize() raises for values that do not fit
_ALIASES = {**base_aliases, **shell_aliases, "user": "IPKernelApp.username"}
_FLAGS = {
    **base_flags,
    **shell_flags,
    "no-stdout": ({"IPKernelApp": {"no_stdout": True}}, "do not show what is written to sys.stdout"),
    "no-stderr": ({"IPKernelApp": {"no_stderr": True}}, "do not show what is written to sys.stderr"),
}
_FRONT = "Kept for configuration files; the front (pupitre-kernel) has its own option."


def _leave_deleted_folder() -> str | None:
    """Where to, if the working directory no longer exists, with which IPython refuses to start; else None."""
    try:
        os.getcwd()
    except OSError:
        for place in (os.path.expanduser("~"), "/"):
            try:
                os.chdir(place)
            except OSError:
                continue
            return place
    return None


class _ServersLog(logging.Handler):
    """To the log of the server, which is the supervisor's standard error: a student's cells are not the place for what
    widgets and IPython report.

    Keeps the last error that was logged, because IPython logs why it ends and raises SystemExit(1).
    """

    last = ""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            if record.levelno >= logging.ERROR:
                _ServersLog.last = record.getMessage()
            log(self.format(record))
        except Exception:
            self.handleError(record)


class IPKernelApp(Completed, BaseIPythonApplication, InteractiveShellApp):
    """The application. `initialize(arguments)`, then `run_startup_code()`."""

    name = "ipython-kernel"
    aliases = _ALIASES
    flags = _FLAGS
    classes = [  # noqa: RUF012 - traitlets adds lists to it
        IPythonKernel,
        ZMQInteractiveShell,
        ProfileDir,
        ZMQDisplayPublisher,
        HistoryManager,
    ]

    if TYPE_CHECKING:
        profile_dir: Any  # a trait of IPython's, set by initialize()

    kernel_class = Type(IPythonKernel).tag(config=True)
    shell_class = Type(ZMQInteractiveShell)
    kernel = Instance(IPythonKernel, allow_none=True)
    connection_file = Unicode("").tag(config=True)
    no_stdout = Bool(False).tag(config=True)
    no_stderr = Bool(False).tag(config=True)

    ip = Unicode(help=_FRONT).tag(config=True)
    transport = Unicode(help=_FRONT).tag(config=True)
    username = Unicode("username", help=_FRONT).tag(config=True)
    quiet = Bool(True, help=_FRONT).tag(config=True)
    capture_fd_output = Bool(True, help=_FRONT).tag(config=True)
    parent_handle = Integer(0, help=_FRONT).tag(config=True)
    trio_loop = Bool(False, help="Accepted and ignored: the main loop is asyncio's.").tag(config=True)

    loop: Loop | None = None  # the kernel's; none in a template: descriptors must not be shared by its children

    @default("ip")
    def _ip_of_the_front(self) -> str:
        return str(connection(self).get("ip", ""))

    @default("transport")
    def _transport_of_the_front(self) -> str:
        return str(connection(self).get("transport", "tcp"))

    def __init__(self, **kwargs: Any) -> None:
        self._temporary: list[Path] = []
        self.no_directory = ""  # why the user's IPython directory is not used
        self._found = ""  # it, or the temporary one, as has_configuration() found it
        self._moved_in = False
        left = _leave_deleted_folder()
        super().__init__(**kwargs)
        if left is not None:
            self.log.warning("the working directory was deleted: working in %s", left)

    @staticmethod
    def reason(error: BaseException) -> str:
        """One line for whoever asks why initialize() raised."""
        text = _ServersLog.last if isinstance(error, SystemExit) and _ServersLog.last else str(error)
        return " ".join(text.split())

    def initialize(self, argv: list[str] | None = None) -> None:
        """Parse options and configuration, make the shell. TraitError for a value that does not fit."""
        self._use_inline_plots()
        argv, ignored = sort_out(argv or [], self.flags, self.aliases)
        for words in ignored:
            os.write(2, f"pupitre-kernel: warning: {' '.join(words)}: no option of this kernel, ignored\n".encode())
        try:
            super().initialize(argv)
        except (OSError, SystemExit) as error:
            if isinstance(error, SystemExit) and (error.code != 1 or self.profile != "default"):
                raise
            self._use_temporary_directory(error)
            super().initialize(argv)
        if "IPKernelApp" not in self.config:
            self.config["IPKernelApp"] = Config()
        self.init_path()
        self.init_kernel()
        self.init_shell()

    @default("ipython_dir")
    def _ipython_dir_default(self) -> str:
        place = self._find_directory()
        self._ipython_dir_changed({"name": "ipython_dir", "old": place, "new": place})
        return place

    def _find_directory(self) -> str:
        """IPython's directory, made if need be. Where it cannot be written, a temporary one: IPython warns of that, in
        a log that students do not see.
        """
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            place = get_ipython_dir()
        for warning in told:
            text = str(warning.message)
            self.log.warning("%s", text)
            if "temp directory" in text:
                self._temporary.append(Path(place))
                self.no_directory = text.partition(",")[0]
        return place

    def has_configuration(self) -> bool:
        """Whether the user's profile (not the system's) configures anything. For an application made by a template."""
        self._found = self._find_directory()
        place = os.path.join(self._found, f"profile_{self.profile}")
        names = {os.path.splitext(name)[0] for name in ("ipython_config.py", *self.config_files)}
        return any(os.path.exists(os.path.join(place, name + end)) for name in names for end in (".py", ".json"))

    def move_in(self) -> None:
        """Make an application and shell that a template initialized without options or configuration this user's: what
        initialize() takes from the environment, the home directory and the working directory.
        """
        self._moved_in = True
        self._use_inline_plots()
        try:
            self.ipython_dir = self._found or self._find_directory()
            self._move_profile()
        except OSError as error:
            self._use_temporary_directory(error)
            self._move_profile()
        self.init_path()
        self.shell.tempdirs[:0] = self._temporary
        self.shell.no_directory = self.no_directory
        self.shell.move_in(self.ipython_dir, self.profile_dir)

    def _move_profile(self) -> None:
        """The profile directory of this user, made if need be. The object stays the one that the shell has, too."""
        before, now = self.profile_dir.location, os.path.join(self.ipython_dir, f"profile_{self.profile}")
        self.profile_dir._location_isset = False
        self.profile_dir.location = now
        self.config_file_paths[:] = [now if path == before else path for path in self.config_file_paths]

    @staticmethod
    def _use_inline_plots() -> None:
        """A cell must never wait for a window that nobody can see."""
        os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")

    def _use_temporary_directory(self, error: BaseException) -> None:
        """The home directory is missing, full or read-only: work without it, and say so."""
        place = mkdtemp(prefix="pupitre-ipython-")
        self._temporary.append(Path(place))
        self.log.warning("no IPython directory (%s): using %s for this session", error, place)
        self.no_directory = str(error) if isinstance(error, OSError) else "the profile directory cannot be made"
        if not self._moved_in:
            self.profile_dir = None
        self.config.pop("ProfileDir", None)
        self.ipython_dir = os.environ["IPYTHONDIR"] = place

    def _configure_logging(self) -> None:
        """The one handler that traitlets would make by logging.config, which costs more memory than all of this
        package.
        """
        if self.logging_config:
            super()._configure_logging()
            return
        logger = logging.getLogger(type(self).__name__)
        handler = _ServersLog()
        handler.setFormatter(self._log_formatter_cls(fmt=self.log_format, datefmt=self.log_datefmt))
        logger.handlers[:] = [handler]
        logger.setLevel(self.log_level)

    def init_path(self) -> None:
        """'' in sys.path, as IPython puts it, but never before the standard library, even where PYTHONPATH leads."""
        super().init_path()
        if "" not in sys.path:
            return
        library = os.path.dirname(os.__file__)
        after = max((i for i, path in enumerate(sys.path) if path in (library, f"{library}/lib-dynload")), default=-1)
        if sys.path.index("") < after:
            sys.path.remove("")
            sys.path.insert(after, "")

    def init_crash_handler(self) -> None:
        """None: an exception that reaches the top of this process is printed to descriptor 2 by C."""

    def init_kernel(self) -> None:
        self.kernel = self.kernel_class.instance(parent=self, loop=self.loop)

    def init_shell(self) -> None:
        self.shell = self.shell_class.instance(
            parent=self.kernel, profile_dir=self.profile_dir, ipython_dir=self.ipython_dir, kernel=self.kernel
        )
        self.shell.no_directory = self.no_directory
        self.shell.configurables.append(self)
        self.shell.tempdirs[:0] = self._temporary  # removed when the history in there is closed

    def run_startup_code(self) -> None:
        """GUI and matplotlib options, extensions, startup files, exec_lines, -c: user code, in IPython's order.

        After move_in() only the startup files are left to do.
        """
        steps = (
            (self._run_own_startup_files,)
            if self._moved_in
            else (self.init_gui_pylab, self.init_extensions, self.init_code)
        )
        for method in steps:
            try:
                method()
            except KeyboardInterrupt:
                raise
            except BaseException:
                self.shell.showtraceback(tb_offset=0)
        if self._moved_in:
            return
        for silenced, name in ((self.no_stdout, "stdout"), (self.no_stderr, "stderr")):
            if silenced:
                setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - lives as long as the process

    def _run_own_startup_files(self) -> None:
        """Those of the user's profile; the system's have run in the template."""
        names = os.listdir(self.profile_dir.startup_dir)
        if any(name.endswith((".py", ".ipy")) for name in names) or os.environ.get("PYTHONSTARTUP"):
            self._run_startup_files()
            self.shell.user_ns_hidden.update(self.shell.user_ns)


IPKernelApp.__module__ = "ipykernel.kernelapp"
