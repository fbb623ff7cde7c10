# SPDX-License-Identifier: BSD-3-Clause
"""IPython's input transformation, remembered: cells are run again more often than they are written.

Turning magics into Python costs IPython as much as running a short cell. What it makes of a text depends on that text
and on its lists of transformers alone, so the latest texts' results are kept for as long as nobody has changed the
lists.
"""

from typing import Any

from IPython.core.inputtransformer2 import TransformerManager

from .unseen import unseen_methods

REMEMBERED = 128  # cells
LENGTH_MAX = 10_000  # characters; longer cells take long to run anyway


@unseen_methods
class RememberingTransformer(TransformerManager):
    """IPython's TransformerManager with a memory."""

    def __init__(self) -> None:
        super().__init__()
        self._stock = self._lists()
        self._memory: dict[str, str] = {}

    def _lists(self) -> list[Any]:
        return [*self.cleanup_transforms, *self.line_transforms, *self.token_transformers]

    def transform_cell(self, cell: str) -> str:
        """`cell` as Python. Transformers that were added or removed are always run."""
        if len(cell) > LENGTH_MAX or self._lists() != self._stock:
            return str(super().transform_cell(cell))
        known = self._memory.get(cell)
        if known is None:
            known = super().transform_cell(cell)
            if len(self._memory) >= REMEMBERED:
                del self._memory[next(iter(self._memory))]
            self._memory[cell] = known
        return known
