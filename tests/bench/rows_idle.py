# SPDX-License-Identifier: BSD-3-Clause
"""What a kernel does when nobody asks anything of it."""

from __future__ import annotations

import time
from contextlib import ExitStack

from .peers import Kernel
from .table import Bench, Figure, Figures, Goal, Result
from .wire import NoAnswer, RawClient

SETTLE_SECONDS = 5.0  # after the last cell: what start-up left to do is done


def wakeups(bench: Bench) -> list[Result]:
    """All kernels idle through the same time: of each kind one with a client, as in JupyterLab, and one alone."""
    figures: Figures = {}
    with ExitStack() as stack:
        pairs: dict[str, tuple[Kernel, Kernel]] = {}
        for kind in bench.kinds:
            watched, alone = stack.enter_context(bench.start(kind)), stack.enter_context(bench.start(kind))
            try:
                _use(watched)
                _use(alone).close()
                pairs[kind.name] = watched, alone
            except NoAnswer as why:
                figures[kind.name] = Figure(None, str(why))
        time.sleep(SETTLE_SECONDS)
        before = {name: [kernel.context_switches() for kernel in pair] for name, pair in pairs.items()}
        time.sleep(bench.idle_seconds)  # the row itself
        for name, pair in pairs.items():
            counts = [kernel.context_switches() - was for kernel, was in zip(pair, before[name], strict=True)]
            death = pair[0].death() or pair[1].death()
            figures[name] = Figure(None, death) if death else Figure(counts[0], f"{counts[0]} ({counts[1]} alone)")
    what = f"wake-ups (context switches of all threads) in {bench.idle_seconds:g} idle seconds, a client connected"
    return [Result("idle", what, Goal.at_most(0), figures)]


def _use(kernel: Kernel) -> RawClient:
    """A client that has run one cell."""
    client = kernel.client()
    client.settle()
    client.run("pass")
    return client
