# SPDX-License-Identifier: BSD-3-Clause
"""complete, inspect, is_complete and history requests: IPython's answers in the protocol's shape."""

from typing import TYPE_CHECKING, Any

from IPython.utils.tokenutil import token_at_cursor

from . import disposable
from .parent import Parent

if TYPE_CHECKING:
    from .shell import ZMQInteractiveShell

_TYPES = "_jupyter_types_experimental"


def _text(content: dict[str, Any]) -> str:
    code = content.get("code")
    if not isinstance(code, str):
        raise ValueError("the request needs `code`, a string")
    return code


def _cursor(content: dict[str, Any], code: str) -> int:
    """cursor_pos in code points, at the end if it is absent or null, and inside the code in any case."""
    position = content.get("cursor_pos")
    if position is None:
        return len(code)
    if isinstance(position, bool) or not isinstance(position, int):
        raise ValueError("cursor_pos must be an integer")
    return max(0, min(position, len(code)))


class Introspection:
    """Answers the requests that look at code without running a cell.

    Each method: the request in, the reply's content out.
    """

    def __init__(self, shell: "ZMQInteractiveShell", with_types: bool = True) -> None:
        self.shell, self.with_types = shell, with_types

    def complete(self, message: Parent) -> dict[str, Any] | bytes:
        content = message["content"]
        code = _text(content)
        cursor = _cursor(content, code)
        history = str(getattr(self.shell.history_manager, "hist_file", ""))
        return disposable.ask(self.complete_here, code, cursor, spare=history) or self._completions([], cursor)

    def complete_here(self, code: str, cursor: int) -> dict[str, Any]:
        """Content of complete_reply, worked out in this process."""
        # Not at the top: many kernels never complete anything, and the completer is large.
        from IPython.core.completer import provisionalcompleter, rectify_completions

        with provisionalcompleter():
            found = list(rectify_completions(code, list(self.shell.Completer.completions(code, cursor))))
        return self._completions(found, cursor)

    def _completions(self, found: list[Any], cursor: int) -> dict[str, Any]:
        start = found[0].start if found else cursor
        end = found[0].end if found else cursor
        types = [
            {
                "start": one.start,
                "end": one.end,
                "text": one.text,
                "type": one.type or "<unknown>",
                "signature": getattr(one, "signature", ""),
            }
            for one in found
        ]
        return {
            "status": "ok",
            "matches": [one.text for one in found],
            "cursor_start": start,
            "cursor_end": end,
            "metadata": {_TYPES: types} if self.with_types else {},
        }

    def inspect(self, message: Parent) -> dict[str, Any]:
        content = message["content"]
        code = _text(content)
        name = token_at_cursor(code, _cursor(content, code))
        data: dict[str, Any] = {}
        found = False
        try:
            if name:
                data = self.shell.object_inspect_mime(
                    name,
                    detail_level=1 if content.get("detail_level") else 0,
                    omit_sections=content.get("omit_sections") or [],
                )
                if not self.shell.enable_html_pager:
                    data.pop("text/html", None)
                found = True
        except KeyError:
            data = {}
        return {"status": "ok", "found": found, "data": data, "metadata": {}}

    def is_complete(self, message: Parent) -> dict[str, Any]:
        status, indent = self.shell.input_transformer_manager.check_complete(_text(message["content"]))
        if status == "incomplete":
            return {"status": status, "indent": " " * (indent or 0)}
        return {"status": status}

    def history(self, message: Parent) -> dict[str, Any]:
        content = message["content"]
        manager = self.shell.history_manager
        kind = content.get("hist_access_type")
        raw, output = content.get("raw", True), content.get("output", False)
        entries: Any = []
        manager.writeout_cache()
        if kind == "tail":
            entries = manager.get_tail(content.get("n"), raw=raw, output=output, include_latest=True)
        elif kind == "range":
            session = content.get("session", 0)
            entries = manager.get_range(session, content.get("start", 1), content.get("stop"), raw=raw, output=output)
            if session:  # IPython says 0 for the running session, under whatever number it was asked for
                entries = [(number or manager.session_number, *entry) for number, *entry in entries]
        elif kind == "search":
            entries = manager.search(
                content.get("pattern") or "*",
                raw=raw,
                output=output,
                n=content.get("n"),
                unique=content.get("unique", False),
            )
        return {"status": "ok", "history": list(entries)}
