# SPDX-License-Identifier: BSD-3-Clause
"""IPython's events, with Stop reckoned with."""

from typing import Any

from IPython.core.events import EventManager

from .unseen import unseen_methods


@unseen_methods
class CellEvents(EventManager):
    """IPython's, but a Stop that hits what runs before a cell stops the cell, too."""

    def trigger(self, event: str, *args: Any, **kwargs: Any) -> None:
        if not event.startswith("pre_"):
            super().trigger(event, *args, **kwargs)
            return
        for function in self.callbacks[event][:]:
            try:
                function(*args, **kwargs)
            except Exception:
                if self.print_on_error:
                    called = f"with arguments args {args},kwargs {kwargs}"
                    print(f"Error in callback {function} (for {event}), {called}:")
                self.shell.showtraceback()
