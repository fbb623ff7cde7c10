# SPDX-License-Identifier: BSD-3-Clause
"""IPKernelApp: finds profile, configuration files and startup files with IPython's own machinery and makes the shell.

The name is that of ipykernel's application, because `c.IPKernelApp...` stands in users' configuration files and libraries look for
'IPKernelApp' in get_ipython().config.
"""

import sys
from typing import Any

from IPython.core.application import BaseIPythonApplication, base_aliases, base_flags
from IPython.core.profiledir import ProfileDir
from IPython.core.shellapp import InteractiveShellApp, shell_aliases, shell_flags
from traitlets import Bool, Instance, Type, Unicode

from .display import ZMQDisplayPublisher
from .history import HistoryManager
from .kernel import IPythonKernel
from .shell import ZMQInteractiveShell

_ALIASES = {**base_aliases, **shell_aliases}
_FLAGS = {**base_flags, **shell_flags}


class IPKernelApp(BaseIPythonApplication, InteractiveShellApp):
    """The application. `initialize(arguments)`, then `run_startup_code()`."""

    name = "ipython-kernel"
    aliases = _ALIASES
    flags = _FLAGS
    classes = [ZMQInteractiveShell, ProfileDir, ZMQDisplayPublisher, HistoryManager, IPythonKernel]

    kernel_class = Type(IPythonKernel).tag(config=True)
    shell_class = Type(ZMQInteractiveShell)
    kernel = Instance(IPythonKernel, allow_none=True)
    connection_file = Unicode("").tag(config=True)
    quiet = Bool(True).tag(config=True)

    def initialize(self, argv: list[str] | None = None) -> None:
        """Parse options and configuration, make the shell. SystemExit(2) for an option nobody knows."""
        super().initialize(argv)
        self.init_path()
        self.init_shell()

    def init_crash_handler(self) -> None:
        """None: an exception that reaches the top of this process is printed to descriptor 2 by C."""

    def init_shell(self) -> None:
        self.shell = self.shell_class.instance(parent=self, profile_dir=self.profile_dir, kernel=self.kernel)
        self.shell.configurables.append(self)

    def run_startup_code(self) -> None:
        """GUI and matplotlib options, extensions, startup files, exec_lines, -c: user code, in IPython's order."""
        self.init_gui_pylab()
        self.init_extensions()
        self.init_code()
        sys.stdout.flush()
        sys.stderr.flush()
