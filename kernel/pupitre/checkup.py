# SPDX-License-Identifier: BSD-3-Clause
"""Whether IPython still works with the builtins that user code put into the place of Python's.

C puts back what is plainly broken: a builtin that is gone, cannot be called or is no class any more (_pupitre.repair).
A function in the place of another may be a print() that somebody wanted, or one with which nothing runs. So it is
tried: when a cell leaves builtins that differ from those at start, a cell of ours runs, without anybody seeing it. If
that fails, or if a cell fails before its own first line, all builtins are put back.
"""

import sys
from io import StringIO
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from . import door
from .compiler import cell_name
from .jsonout import encode
from .wire import publish

if TYPE_CHECKING:
    from .shell import ZMQInteractiveShell

_OWN_FAULT = (SyntaxError, UsageError, KeyboardInterrupt)  # what a cell gets without running


class Checkup:
    """Looks after the interpreter between cells. Costs nothing where it is untouched."""

    def __init__(self, shell: "ZMQInteractiveShell") -> None:
        self.shell = shell
        self._trusted: dict[str, Any] = {}  # the replaced builtins with which a cell of ours has run
        self._repaired: list[str] = []  # names of what was put back, until report() says so

    def look(self, error: BaseException | None, cell: str) -> None:
        """After the cell with the source `cell` ended with `error`. What comes next can rely on the builtins."""
        changed = door.changed_builtins()
        if not changed:
            return
        try:
            if error is None or not self._is_foreign(error, cell_name(cell)):
                if not self._is_trusted(changed):
                    door.call_user(0, 0, self._rehearse)
                    self._trusted = changed
                return
        except BaseException:  # whatever it is, it is the builtins
            pass
        self._repaired += door.repair(True)

    def report(self) -> None:
        """Say in one line of stderr what the cell had destroyed and what was put back."""
        names = [*self._repaired, *door.repair(False), *self.shell.mend_namespace()]
        if names:
            self._repaired = []
            text = f"Pupitre put back what this cell had replaced or deleted: {', '.join(names)}\n"
            publish("stream", {"name": "stderr", "text": text}, topic=b"stream.stderr")

    @staticmethod
    def _is_foreign(error: BaseException, name: str) -> bool:
        """Whether no line of the cell that is called `name` had its turn when this was raised."""
        if isinstance(error, _OWN_FAULT):
            return False
        here = error.__traceback__
        while here is not None:
            code = here.tb_frame.f_code
            if code.co_filename == name and code.co_name.startswith("<"):
                return False
            here = here.tb_next
        return True

    def _is_trusted(self, changed: dict[str, Any]) -> bool:
        trusted = self._trusted
        return changed.keys() == trusted.keys() and all(value is trusted[name] for name, value in changed.items())

    def _rehearse(self) -> None:
        """What happens around every cell, in silence. Raises whatever goes wrong."""
        shell = self.shell
        before = sys.stdout, sys.stderr, shell.last_execution_result, shell.last_execution_succeeded
        failures: list[BaseException] = []
        shell.rehearsal = failures
        sys.stdout = sys.stderr = StringIO()
        try:
            shell.run_cell("None", silent=True).raise_error()
            shell.display_formatter.format([1])
            value = shell.user_expressions({"value": "1"})["value"]
            encode({"value": 1.5, "moment": None})
            show_an_error(shell)
        finally:
            shell.rehearsal = None
            sys.stdout, sys.stderr, shell.last_execution_result, shell.last_execution_succeeded = before
        if failures or value["status"] != "ok":
            raise RuntimeError("a cell cannot run with these builtins")


def show_an_error(shell: "ZMQInteractiveShell") -> None:
    """Format a traceback for nobody."""
    try:
        raise ZeroDivisionError
    except ZeroDivisionError:
        shell.InteractiveTB.structured_traceback(*sys.exc_info())
