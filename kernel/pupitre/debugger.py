# SPDX-License-Identifier: BSD-3-Clause
"""pdb.Pdb, once somebody imports pdb: IPython's, which ends at an interrupt; the standard one would go on asking for
ever.
"""

from types import FrameType
from typing import Any

from IPython.core import debugger, displayhook
from IPython.core.interactiveshell import InteractiveShell

_RUN_CODE = InteractiveShell.run_code.__code__  # what calls a cell's frame
_DISPLAY = displayhook.__file__


def _is_after_the_statement(frame: FrameType | None) -> bool:
    """Whether this is on the way from a cell's last expression to its display."""
    while frame is not None and frame.f_code is not _RUN_CODE:
        if frame.f_code.co_filename == _DISPLAY:
            return True
        frame = frame.f_back
    return False


class Pdb(debugger.InterruptiblePdb):
    """Stops in the cell, also when breakpoint() is its last line. Breakpoints in a repr are found all the same."""

    def stop_here(self, frame: Any) -> bool:
        return not _is_after_the_statement(frame) and bool(super().stop_here(frame))
