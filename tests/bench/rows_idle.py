# SPDX-License-Identifier: BSD-3-Clause
"""What a kernel does when nobody asks anything of it."""

from __future__ import annotations

import time
from contextlib import ExitStack

from .table import Bench, Figure, Figures, Goal, Result
from .wire import NoAnswer

SETTLE_SECONDS = 3.0  # after the last cell: what start-up left to do is done


def wakeups(bench: Bench) -> list[Result]:
    """All kernels idle through the same minute, a client connected to each."""
    figures: Figures = {}
    with ExitStack() as stack:
        kernels = {}
        for kind in bench.kinds:
            kernel = stack.enter_context(bench.start(kind))
            try:
                client = kernel.client()
                client.settle()
                client.run("pass")
                kernels[kind.name] = kernel
            except NoAnswer as why:
                figures[kind.name] = Figure(None, str(why))
        time.sleep(SETTLE_SECONDS)
        before = {name: kernel.context_switches() for name, kernel in kernels.items()}
        time.sleep(bench.idle_seconds)  # the row itself
        for name, kernel in kernels.items():
            count = kernel.context_switches() - before[name]
            figures[name] = Figure(None, kernel.death() or "") if kernel.death() else Figure.of(count, "")
    what = f"wake-ups (context switches of all threads) in {bench.idle_seconds:g} idle seconds, a client connected"
    return [Result("idle", what, Goal.at_most(0), figures)]
