# SPDX-License-Identifier: BSD-3-Clause
"""Tracebacks as a person can read them.

IPython takes a millisecond per frame, and an endless recursion has many. And much of the standard library is frozen
into the interpreter (os, codecs, abc, ...): its code says that it is of `<frozen os>`, where nobody finds its lines.
"""

import linecache
from types import FrameType, TracebackType
from typing import Any

from IPython.core.ultratb import AutoFormattedTB

from .unseen import related, traceback_of

KEPT = 500  # frames at each end


def cut_middle(error: BaseException) -> int:
    """Leave out the middle of deep tracebacks of `error` and its relations. The number of frames left out."""
    return sum(_cut(traceback_of(one)) for one in related(error))


def _cut(traceback: TracebackType | None) -> int:
    depth, here = 0, traceback
    while here is not None:
        depth, here = depth + 1, here.tb_next
    if traceback is None or depth <= 2 * KEPT:
        return 0
    last = tail = traceback
    for _ in range(KEPT - 1):
        last = last.tb_next  # type: ignore[assignment]
    for _ in range(depth - KEPT):
        tail = tail.tb_next  # type: ignore[assignment]
    last.tb_next = tail
    return depth - 2 * KEPT


class CellTracebacks(AutoFormattedTB):
    """`get_ipython().InteractiveTB`: IPython's, with names and lines of frozen modules' files."""

    def get_records(self, etb: TracebackType, context: int, tb_offset: int) -> Any:
        files = _show_frozen(etb)
        records = super().get_records(etb, context, tb_offset)
        for record in records if files else ():
            record.filename = files.get(record.filename, record.filename)
        return records


def _show_frozen(traceback: TracebackType | None) -> dict[str, str]:
    """Put the lines of the frozen modules in `traceback` where linecache has them. Their files by their names."""
    files: dict[str, str] = {}
    while traceback is not None:
        name = traceback.tb_frame.f_code.co_filename
        if name.startswith("<frozen ") and name not in files:
            file = _frozen_file(traceback.tb_frame)
            lines = linecache.getlines(file) if file else []
            if file and lines:
                files[name] = file
                linecache.cache[name] = (0, None, lines, file)
        traceback = traceback.tb_next
    return files


def _frozen_file(frame: FrameType) -> str | None:
    """None for the import system itself, which is frozen always."""
    state = getattr(frame.f_globals.get("__spec__"), "loader_state", None)
    file = getattr(state, "filename", None)
    return file if isinstance(file, str) else None
