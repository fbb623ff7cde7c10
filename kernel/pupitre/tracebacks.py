# SPDX-License-Identifier: BSD-3-Clause
"""Tracebacks as a person can read them: IPython takes a millisecond per frame, and an endless recursion has many."""

from types import TracebackType

KEPT = 500  # frames at each end


def cut_middle(error: BaseException) -> int:
    """Leave out the middle of deep tracebacks of `error` and its causes. The number of frames left out."""
    cut, seen, waiting = 0, set(), [error]
    while waiting:
        here = waiting.pop()
        if id(here) in seen:
            continue
        seen.add(id(here))
        cut += _cut(here.__traceback__)
        waiting += [cause for cause in (here.__cause__, here.__context__) if cause is not None]
    return cut


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
