# SPDX-License-Identifier: BSD-3-Clause
"""The magics that only make sense in a kernel: they ask the client to do something, or tell how to reach the kernel."""

import os
from pathlib import Path
from typing import Any

from IPython.core import magic
from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_magic, magics_class

from . import connect, door
from .unseen import unseen_methods
from .wire import publish


def load_whole(manager: Any) -> None:
    """Have magics whose loading was stopped loaded again when they are next used.

    An IPython that loads its magics late remembers that it has begun, and forgets that when an Exception ends it. It
    also takes what a class had declared until then for the next class's own.
    """
    load, loaded = getattr(manager, "load_lazy", None), getattr(manager, "_loaded_lazy", None)
    if load is None or type(loaded) is not set:
        return

    @door.unseen
    def load_lazy(*args: Any, **options: Any) -> None:
        before = loaded.copy()
        try:
            load(*args, **options)
        except BaseException:
            loaded.intersection_update(before)
            magic.magics.update({kind: {} for kind in magic.magic_kinds})
            raise

    manager.load_lazy = load_lazy


@magics_class
@unseen_methods
class KernelMagics(Magics):
    """%edit %clear %less %more %man %connect_info %qtconsole %autosave."""

    @line_magic
    def edit(self, parameter_s: str = "", last_call: list[str] = ["", ""]) -> None:  # noqa: B006 - IPython's signature
        """Open a file, a function's source or a range of the history in the client's editor.

        %edit [-p] [-n NUMBER] [-r] [-x] [name, file or history range]
        """
        # Not at the top: IPython loads its magics when they are used, and few sessions edit.
        from IPython.core.magics.code import CodeMagics, InteractivelyDefined, MacroToEdit

        options, arguments = self.parse_options(parameter_s, "prxn:")
        try:
            try:
                target = CodeMagics._find_edit_target(self.shell, arguments, options, last_call)
            except InteractivelyDefined as error:
                target = CodeMagics._find_edit_target(self.shell, str(error.index), options, last_call)
        except MacroToEdit:
            raise UsageError("macros cannot be edited in a notebook") from None
        filename, number, _ = target
        if filename is None:
            return
        line = None if number is None else int(number)
        payload = {"source": "edit_magic", "filename": os.path.abspath(filename), "line_number": line}
        self.shell.payload_manager.write_payload(payload)

    @line_magic
    def clear(self, arg_s: str = "") -> None:
        """Clear the terminal, in clients that are one."""
        self.shell.system("clear")

    @line_magic
    def less(self, arg_s: str = "") -> None:
        """Show a file in the client's pager. Python files come highlighted."""
        if not arg_s:
            raise UsageError("Missing filename.")
        text = Path(arg_s).expanduser().read_text(errors="replace")
        if arg_s.endswith(".py"):
            text = self.shell.pycolorize(text)
        self._page(text)

    @line_magic
    def more(self, arg_s: str = "") -> None:
        """Show a file in the client's pager."""
        self.less(arg_s)

    @line_magic
    def man(self, arg_s: str = "") -> None:
        """Show a manual page in the client's pager."""
        self._page(self.shell.getoutput(f"man {arg_s} | col -b", split=False))

    def _page(self, text: str) -> None:
        payload: dict[str, Any] = {"source": "page", "data": {"text/plain": text}, "start": 0}
        self.shell.payload_manager.write_payload(payload)

    @line_magic
    def connect_info(self, arg_s: str = "") -> None:
        """How to connect another client to this kernel."""
        path = connect.get_connection_file()
        print(connect.get_connection_info(path), end="\n\n")
        print("Paste the above JSON into a file, and connect with:")
        print("    $> jupyter <app> --existing <file>")
        print("or, if you are local, you can connect with just:")
        print(f"    $> jupyter <app> --existing {os.path.basename(path)}")
        print("or even just:\n    $> jupyter <app> --existing")
        print("if this is the most recent Jupyter kernel you have started.")

    @line_magic
    def qtconsole(self, arg_s: str = "") -> None:
        """Open a qtconsole on this kernel. Arguments are qtconsole's."""
        try:
            connect.connect_qtconsole(argv=arg_s.split())
        except OSError as error:
            raise UsageError(f"Could not start qtconsole: {error}") from None

    @line_magic
    def autosave(self, arg_s: str = "") -> None:
        """Set the interval between autosaves of the notebook, in seconds. 0 turns them off. For clients that listen."""
        try:
            interval = int(arg_s)
        except ValueError:
            raise UsageError(f"%autosave requires an integer, got {arg_s!r}") from None
        milliseconds = 1000 * interval
        code = f"IPython.notebook.set_autosave_interval({milliseconds})"
        publish("display_data", {"data": {"application/javascript": code}, "metadata": {}, "transient": {}})
        print(f"Autosaving every {interval} seconds" if interval else "Autosave disabled")
