# SPDX-License-Identifier: BSD-3-Clause
"""What cells show: display_data, update_display_data, clear_output and execute_result.

IPython makes the MIME bundles; here they become messages. Unlike IPython's own publishers, these keep no second copy of
every output.
"""

from collections.abc import Callable
from functools import cached_property
from threading import local
from typing import Any

from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from traitlets import Bool

from . import door
from .compat import IOPUB, SESSION, Parented
from .parent import current
from .unseen import unseen_methods
from .wire import publish

Hook = Callable[[dict[str, Any]], dict[str, Any] | None]


@unseen_methods
class Hooks:
    """Functions of one thread that see each message before it goes out and may change or keep it (voila,
    ipywidgets.Output).
    """

    def __init__(self) -> None:
        self._local = local()

    @property
    def list(self) -> list[Hook]:
        if not hasattr(self._local, "list"):
            self._local.list = []
        return self._local.list

    def remove(self, hook: Hook) -> bool:
        try:
            self.list.remove(hook)
        except ValueError:
            return False
        return True

    def publish(self, msg_type: str, content: dict[str, Any], topic: bytes = b"", buffers: Any = ()) -> None:
        """Publish, unless a hook keeps the message."""
        hooks = getattr(self._local, "list", None)
        if not hooks:
            publish(msg_type, content, topic=topic, buffers=buffers)
            return
        owner = current()[1]
        message: Any = SESSION.msg(msg_type, content, owner)
        for hook in list(hooks):
            message = hook(message)
            if message is None:
                return
        SESSION.send(IOPUB, message, parent=owner, ident=topic, buffers=buffers)


@unseen_methods
class ZMQDisplayPublisher(Parented, DisplayPublisher):
    """`get_ipython().display_pub`."""

    store_display_history = Bool(
        False, help="Kept for configuration files; outputs are not stored a second time in the kernel."
    ).tag(config=True)

    topic: Any = b"display_data"
    session: Any = SESSION
    pub_socket: Any = IOPUB

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._hooks = Hooks()

    def publish(
        self,
        data: dict[str, Any],
        metadata: dict[str, Any] | None = None,
        source: Any = None,
        *,
        transient: dict[str, Any] | None = None,
        update: bool = False,
        **kwargs: Any,
    ) -> None:
        """display_data, or update_display_data. TypeError if data or metadata is no dict."""
        self._validate_data(data, metadata)
        renderers = getattr(self.shell, "mime_renderers", None)
        if renderers:
            for mime, render in renderers.items():
                if mime in data:
                    render(data[mime], (metadata or {}).get(mime))
                    return
        content = {"data": data, "metadata": metadata or {}, "transient": transient or {}}
        self._hooks.publish(
            "update_display_data" if update else "display_data", content, self.topic, kwargs.get("buffers") or ()
        )

    def clear_output(self, wait: bool = False) -> None:
        self._hooks.publish("clear_output", {"wait": bool(wait)}, self.topic)

    def register_hook(self, hook: Hook) -> None:
        self._hooks.list.append(hook)

    def unregister_hook(self, hook: Hook) -> bool:
        return self._hooks.remove(hook)


@unseen_methods
class ZMQShellDisplayHook(Parented, DisplayHook):
    """sys.displayhook while a cell runs: results become execute_result."""

    exec_result: Any = None  # a trait in IPython, written twice by every cell; nobody observes it
    session: Any = SESSION
    pub_socket: Any = IOPUB

    @cached_property
    def topic(self) -> bytes:
        return f"kernel.{self.shell.kernel.ident}.execute_result".encode()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._hooks = Hooks()

    def register_hook(self, hook: Hook) -> None:
        self._hooks.list.append(hook)

    def unregister_hook(self, hook: Hook) -> bool:
        return self._hooks.remove(hook)

    def quiet(self) -> bool:
        """Whether the cell ends in `;`, as Python: of `%%sql` and what follows it the `;` is a string's.

        IPython looks at the history, in which a cell that is not stored is not.
        """
        history = self.shell.history_manager.input_hist_parsed
        cell = self.shell.cell_transformed or (history[-1] if history else "")
        # Tokenizing costs more than the rest of a small cell; most cells have no semicolon.
        return ";" in cell and bool(self.semicolon_at_end_of_expression(cell))

    def compute_format_data(self, result: Any) -> Any:
        """The bundle; an error of the object's own repr, which IPython shows and forgets, makes the cell fail."""
        self.shell.formatting_result = True
        try:
            return super().compute_format_data(result)
        finally:
            self.shell.formatting_result = False

    def write_output_prompt(self) -> None:
        """The client draws the prompt."""

    def write_format_data(self, format_dict: dict[str, Any], md_dict: dict[str, Any] | None = None) -> None:
        content = {"execution_count": self.prompt_count, "data": format_dict, "metadata": md_dict or {}}
        self._hooks.publish("execute_result", content)

    def log_output(self, format_dict: dict[str, Any]) -> None:
        """Only what %history -o and %logstart -o need; IPython would keep the whole bundle for ever."""
        text = format_dict.get("text/plain")
        if text is None:
            return
        if self.shell.logger.log_output:
            self.shell.logger.log_write(text, "output")
        history = self.shell.history_manager
        history.output_hist_reprs[self.prompt_count] = text
        if self.shell.cell_stored:
            history.keep_printed(self.prompt_count, door.take_printed(current()[0]))
            history.keep_result(self.prompt_count, "execute_result", format_dict)

    def finish_displayhook(self) -> None:
        self._is_active = False


@unseen_methods
class ZMQDisplayHook:
    """sys.displayhook outside cells (background tasks): the plain repr, as a result message. Leaves `_` to IPython."""

    def __init__(self, shell: Any) -> None:
        self.shell = shell

    def __call__(self, value: Any) -> None:
        if value is None:
            return
        content = {"execution_count": self.shell.execution_count, "data": {"text/plain": repr(value)}, "metadata": {}}
        publish("execute_result", content)


ZMQDisplayPublisher.__module__ = "ipykernel.zmqshell"
ZMQShellDisplayHook.__module__ = ZMQDisplayHook.__module__ = "ipykernel.displayhook"
