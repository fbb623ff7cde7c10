# SPDX-License-Identifier: BSD-3-Clause
"""IPython's InteractiveShell with messages instead of a terminal.

`get_ipython()` in a cell is a ZMQInteractiveShell.
"""

import atexit
import builtins
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from traceback import format_exception
from types import MethodType, TracebackType
from typing import TYPE_CHECKING, Any

from IPython.core.async_helpers import _asyncio_runner
from IPython.core.autocall import ZMQExitAutocall
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell, InteractiveShellABC
from IPython.core.page import as_hook
from IPython.core.payloadpage import page as payload_page
from IPython.utils.path import get_home_dir
from traitlets import Any as AnyTrait
from traitlets import Bool, CBool, Instance, Type, default, observe

from . import door
from .compat import Parented
from .compiler import CellCompiler
from .display import ZMQDisplayPublisher, ZMQShellDisplayHook
from .events import CellEvents
from .history import HistoryManager
from .magics import KernelMagics, load_whole
from .parent import current
from .tracebacks import CellTracebacks, cut_middle
from .transform import RememberingTransformer
from .unseen import hide_ours, skip_ours, unseen_methods
from .wire import describe, do_not_ask, publish

_ENVIRONMENT = {  # !git log, !ls: colours yes, pagers no
    "TERM": "xterm-color",
    "CLICOLOR": "1",
    "FORCE_COLOR": "1",
    "CLICOLOR_FORCE": "1",
    "PAGER": "cat",
    "GIT_PAGER": "cat",
}


# What %gui takes, and the toolkits that other kernels run.
_GUIS = ("asyncio", "inline", "notebook", "nbagg", "webagg", "widget", "ipympl", "agg")
_TOOLKITS = ("qt", "qt4", "qt5", "qt6", "wx", "tk", "glut", "gtk", "gtk2", "gtk3", "gtk4", "osx", "macosx", "pyglet")


class Shown:
    """An exception that was shown to the client: what the reply repeats."""

    __slots__ = ("ename", "evalue", "traceback")

    def __init__(self, ename: str, evalue: str, traceback: list[str]) -> None:
        self.ename, self.evalue, self.traceback = ename, evalue, traceback

    def content(self) -> dict[str, Any]:
        return {"ename": self.ename, "evalue": self.evalue, "traceback": self.traceback}


@unseen_methods
class Configurables(list[Any]):
    """shell.configurables: who goes through them (%config) is to find the completer among them."""

    def __init__(self, shell: "ZMQInteractiveShell", known: Iterable[Any]) -> None:
        super().__init__(known)
        self._shell = shell

    def __iter__(self) -> Iterator[Any]:
        self._shell.make_completer()
        return super().__iter__()


@unseen_methods
class ZMQInteractiveShell(Parented, InteractiveShell):
    """The shell of the kernel."""

    displayhook_class = Type(ZMQShellDisplayHook)
    input_transformer_manager = Instance(RememberingTransformer, ())
    display_pub_class = Type(ZMQDisplayPublisher)
    compiler_class = Type(CellCompiler)
    kernel = AnyTrait()

    # IPython declares these as traits, which nobody observes: a plain attribute costs a fifth to read and a hundredth
    # to write, and every cell does the one twenty times and the other twice.
    builtin_trap: Any = None
    display_trap: Any = None
    history_manager: Any = None
    last_execution_result: Any = None
    last_execution_succeeded: Any = True
    magics_manager: Any = None
    payload_manager: Any = None
    prefilter_manager: Any = None

    if TYPE_CHECKING:
        configurables: Any  # IPython's

    @property
    def parent_header(self) -> dict[str, Any]:
        """The whole message, as ipykernel's."""
        return current()[1]

    @parent_header.setter
    def parent_header(self, message: Any) -> None:
        self.set_parent(message)

    # Nothing of a terminal.
    colors_force = CBool(True)
    readline_use = CBool(False)
    autoindent = CBool(False)
    exiter = Instance(ZMQExitAutocall)
    keepkernel_on_exit: Any = None
    display_page = Bool(False).tag(config=True)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.cell_running: str | None = None
        self.cell_stored = False  # whether it is in the history
        self.cell_transformed: str | None = None  # the running cell as Python, if it is not in the history
        self._ahead: tuple[str, str, Exception | None] | None = None  # a cell, what it becomes, why it becomes nothing
        self.formatting_result = False
        self._showing: BaseException | None = None
        self.last_shown: Shown | None = None
        self.showing_broke_off = False  # our showtraceback() began and did not come to show anything
        self.format_failure: Shown | None = None
        self.exit_asked = False
        self.no_directory = ""  # why the user's IPython directory is not used, if it is not
        self.frames_left_out = 0  # of the traceback that is being shown
        self.rehearsal: list[BaseException] | None = None  # while checkup.py runs a cell of its own: errors of that
        super().__init__(*args, **kwargs)
        atexit.unregister(self.atexit_operations)  # the engine calls it; a cell may run atexit's functions at any time

    @default("exiter")
    def _default_exiter(self) -> ZMQExitAutocall:
        return ZMQExitAutocall(self)

    @observe("exit_now")
    def _exit_now_changed(self, change: dict[str, Any]) -> None:
        """exit() was called: the kernel leaves once this cell's reply is out, or at once if none runs."""
        self.exit_asked = bool(change["new"])
        if self.exit_asked and self.cell_running is None:
            self.kernel.loop.call_soon_threadsafe(door.call_ours, 0, self.kernel.leave)

    # Steps of InteractiveShell.__init__.

    def init_environment(self) -> None:
        os.environ.update(_ENVIRONMENT)

    def init_virtualenv(self) -> None:
        """Nothing: the interpreter was chosen by the kernel's own options."""

    def init_user_ns(self) -> None:
        super().init_user_ns()
        session = os.environ.get("JPY_SESSION_NAME")  # the notebook's path, from the Jupyter server
        if session:
            self.user_ns["__session__"] = self.user_ns_hidden["__session__"] = session

    def move_in(self, ipython_dir: str, profile_dir: Any) -> None:
        """Take what __init__ took from the template's environment and directories from the user's."""
        self.init_environment()
        self.ipython_dir, self.profile_dir = ipython_dir, profile_dir
        self.starting_dir, self.home_dir = os.getcwd(), get_home_dir()
        self.logger.home_dir = self.home_dir
        self._db = None
        self._renew_help()
        self.history_manager.move_in()
        session = os.environ.get("JPY_SESSION_NAME")
        if session:
            self.user_ns["__session__"] = self.user_ns_hidden["__session__"] = session

    def _renew_help(self) -> None:
        """The help of magics with a parser, which is as wide as COLUMNS said when they were imported."""
        if "COLUMNS" not in os.environ:
            return
        magics = [magic for kind in self.magics_manager.magics.values() for magic in kind.values()]
        for magic in magics:
            if isinstance(magic, MethodType) and hasattr(magic, "parser"):
                magic.__func__.__doc__ = magic.parser.format_help()

    def init_history(self) -> None:
        self.history_manager = HistoryManager(shell=self, parent=self)
        self.configurables.append(self.history_manager)

    def init_completer(self) -> None:
        """Later: the completer costs half a megabyte, with IPython 8 and its jedi ten."""
        self.configurables = Configurables(self, self.configurables)

    def make_completer(self) -> None:
        """Make what init_completer left out. Called by whatever needs it first."""
        if "Completer" not in self.__dict__:
            super().init_completer()

    def __getattr__(self, name: str) -> Any:
        """`Completer`, the first time."""
        if name != "Completer":
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        self.make_completer()
        return self.__dict__["Completer"]

    def init_traceback_handlers(self, custom_exceptions: Any) -> None:
        super().init_traceback_handlers(custom_exceptions)
        self.InteractiveTB.__class__ = CellTracebacks  # made with arguments that differ between IPython's versions

    def init_hooks(self) -> None:
        super().init_hooks()
        self.set_hook("show_in_pager", as_hook(payload_page), 99)

    def init_events(self) -> None:
        super().init_events()
        self.events.__class__ = CellEvents

    def init_magics(self) -> None:
        super().init_magics()
        load_whole(self.magics_manager)
        self.register_magics(KernelMagics)

    def init_display_pub(self) -> None:
        super().init_display_pub()
        # IPython's publisher registers two events to remember which cell a plot came from; ours remembers nothing.
        for name in ("post_execute", "pre_execute"):
            tracker = getattr(self.display_pub, f"_on_{name}", None)
            if tracker is not None:
                try:
                    self.events.unregister(name, tracker)
                except ValueError:
                    pass

    # Running.

    def _tee(self, channel: str) -> Any:
        """IPython 9 copies each chunk of output into history_manager.outputs, for ever. C does it: keep_printed()."""
        return nullcontext()

    def should_run_async(
        self, raw_cell: str, *, transformed_cell: Any = None, preprocessing_exc_tuple: Any = None
    ) -> bool:
        """IPython compiles the cell to find out; without one of these words the answer is no."""
        if transformed_cell is not None and "await" not in transformed_cell and "async" not in transformed_cell:
            return False
        return super().should_run_async(
            raw_cell, transformed_cell=transformed_cell, preprocessing_exc_tuple=preprocessing_exc_tuple
        )

    @property
    def runs_on_loop(self) -> bool:
        """Whether await cells are ours to run (not after %autoawait trio or the like)."""
        return self.loop_runner is _asyncio_runner and self.trio_runner is None

    def transform_ahead(self, code: str) -> str | None:
        """`code` as Python, None if a transformer raised. The next transform_cell(code) does the same unasked."""
        self._ahead = (code, "", None)
        try:
            transformed: str = super().transform_cell(code)
        except Exception as error:
            self._ahead = (code, "", error)
            return None
        self._ahead = (code, transformed, None)
        return transformed

    def begin_cell(self, code: str, stored: bool) -> None:
        """Forget the cell before; `code` is the source of this one, `stored` whether it enters the history."""
        do_not_ask(None)
        self.cell_running, self.cell_stored, self.cell_transformed = code, stored, None
        self.last_shown = self.format_failure = None
        self.formatting_result = self.showing_broke_off = False

    def transform_cell(self, raw_cell: str) -> str:
        """`raw_cell` as Python, remembered for the displayhook: what IPython asks of a cell, it asks of this text."""
        ahead, self._ahead = self._ahead, None
        if ahead is None or ahead[0] is not raw_cell:
            cell: str = super().transform_cell(raw_cell)
        elif ahead[2] is not None:
            raise ahead[2]
        else:
            cell = ahead[1]
        if raw_cell is self.cell_running and not self.cell_stored:
            self.cell_transformed = cell
        return cell

    def end_cell(self) -> None:
        """The cell is over; an interrupt may have cut IPython's own bookkeeping short."""
        self.cell_running = self.cell_transformed = None
        trap = self.builtin_trap
        if trap._nested_level:
            trap._nested_level = 0
            trap.deactivate()
        if self.display_trap._nested_level:
            self.display_trap._nested_level = 0
            self.display_trap.unset()

    def mend_namespace(self) -> list[str]:
        """Put back what IPython and `class` need in the user's namespace, if it was emptied. Names of what it was."""
        if "_oh" in self.user_ns and "__name__" in self.user_ns:
            return []
        self.user_ns.setdefault("__name__", "__main__")
        self.user_ns.setdefault("__builtins__", builtins)
        self.init_user_ns()
        return ["In", "Out", "get_ipython"]

    # Errors.

    def _showtraceback(self, etype: Any, evalue: Any, stb: list[str]) -> None:
        """Publish an error message and remember it for the reply."""
        if self.rehearsal is not None:
            self.rehearsal.append(evalue)
            return
        lines = list(stb)
        if self.frames_left_out:
            lines.insert(-1, f"[... {self.frames_left_out} frames in the middle are left out ...]\n")
            self.frames_left_out = 0
        self._tell(Shown(getattr(etype, "__name__", str(etype)), describe(evalue), lines))
        if door.is_child() and self.last_shown:
            sys.stderr.write("\n".join(self.last_shown.traceback) + "\n")

    @door.held
    def _tell(self, shown: Shown) -> None:
        """Publish it and remember it, with no Stop in between: what was remembered is not published again."""
        if not door.is_child():
            publish("error", shown.content())
        self.last_shown = shown
        self.showing_broke_off = False
        if self.formatting_result:
            self.format_failure = shown

    def _format_exception_for_storage(self, exception: Any, *_: Any, **__: Any) -> dict[str, Any]:
        """For history_manager.exceptions. IPython would format the traceback a second time."""
        return (
            self.last_shown.content()
            if self.last_shown
            else {"ename": type(exception).__name__, "evalue": "", "traceback": []}
        )

    def showtraceback(self, exc_tuple: Any = None, *args: Any, **kwargs: Any) -> None:
        """As IPython's, but what has to do with an exception group is shown in the cell too; IPython prints it, so that
        no client sees an error.
        """
        value = (exc_tuple or sys.exc_info())[1]
        # Who puts a function of their own into the place of ours (rich) shows errors themselves.
        self.showing_broke_off = "_showtraceback" not in self.__dict__
        if isinstance(value, BaseException):
            hide_ours(value)
            exc_tuple = exc_tuple and (exc_tuple[0], value, skip_ours(exc_tuple[2]))
        self.frames_left_out = 0 if value is None else cut_middle(value)
        if _comes_from_group(value) and not kwargs.get("exception_only"):
            etype, value, traceback = self._get_exc_info(exc_tuple)
            lines = format_exception(etype, value, self._below_ipython(traceback))
            self._showtraceback(etype, value, "".join(lines).splitlines())
            return
        self._showing = value
        super().showtraceback(exc_tuple, *args, **kwargs)
        self._showing = None

    def get_exception_only(self, exc_tuple: Any = None) -> str:
        """showtraceback() calls this when it was interrupted: what it was showing is in the interrupt's context."""
        if exc_tuple is None and self._showing is not None:
            do_not_ask(self._showing)
            return "KeyboardInterrupt"
        return str(super().get_exception_only(exc_tuple))

    @staticmethod
    def _below_ipython(traceback: TracebackType | None) -> TracebackType | None:
        """The traceback from the cell's own frame on."""
        here = traceback
        while here is not None:
            if here.tb_frame.f_locals.get("__tracebackhide__") == "__ipython_bottom__":
                return here.tb_next
            here = here.tb_next
        return traceback

    # What libraries call.

    def enable_gui(self, gui: str | None = None) -> None:
        """%gui and %matplotlib. The kernel's loop is asyncio's; no toolkit's loop runs beside it."""
        if gui in _TOOLKITS:
            raise UsageError(f"Pupitre runs no {gui} event loop; use %matplotlib inline or %matplotlib widget")
        if gui and gui not in _GUIS:
            raise UsageError(f"Invalid GUI request {gui!r}, valid ones are: {', '.join(_GUIS)}")
        self.active_eventloop = gui or None

    def set_next_input(self, text: str, replace: bool = False) -> None:
        """Ask the client to put `text` into the next cell, or into this one."""
        self.payload_manager.write_payload({"source": "set_next_input", "text": text, "replace": replace})

    def ask_exit(self) -> None:
        """exit() and quit()."""
        self.exit_now = not self.keepkernel_on_exit
        self.payload_manager.write_payload({"source": "ask_exit", "keepkernel": self.keepkernel_on_exit})

    def get_parent(self) -> dict[str, Any]:
        return current()[1]

    def reset_thread_parent(self, tokens: Any) -> None:
        super().reset_thread_parent(tokens)


def _comes_from_group(error: BaseException | None) -> bool:
    """Whether `error` is an exception group or was raised while one was handled: IPython draws no traceback then."""
    seen = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, BaseExceptionGroup):
            return True
        seen.add(id(error))
        error = error.__context__
    return False


# Many programs ask `type(get_ipython()).__module__` whether they are in a notebook.
ZMQInteractiveShell.__module__ = "ipykernel.zmqshell"
InteractiveShellABC.register(ZMQInteractiveShell)
