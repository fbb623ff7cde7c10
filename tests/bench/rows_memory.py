# SPDX-License-Identifier: BSD-3-Clause
"""What a kernel weighs."""

from __future__ import annotations

from contextlib import ExitStack

from .peers import Kind, private_mb
from .table import Bench, Figure, Goal, Result, each

SIBLINGS = 3  # pages shared between kernels of a kind count for none of them only while several live


def memory(bench: Bench) -> list[Result]:
    def bare(kind: Kind) -> Figure:
        with ExitStack() as stack:
            kernels = [stack.enter_context(bench.start(kind)) for _ in range(SIBLINGS)]
            for kernel in kernels:
                client = kernel.client()
                client.settle()
                client.run("pass")
            return Figure.of(kernels[0].private_mb(), "MB")

    what = "private memory, cold, bare, after kernel_info and `pass`"
    return [Result("memory", what, Goal.at_most(20, "MB"), each(bench.kinds, bare))]


def front(bench: Bench) -> list[Result]:
    def after_cells(kind: Kind) -> Figure:
        with ExitStack() as stack:
            kernels = [stack.enter_context(bench.start(kind)) for _ in range(SIBLINGS)]
            for kernel in kernels:
                client = kernel.client()
                client.settle()
                for cell in range(10):
                    client.run(f"print({cell} + 1)")
            return Figure.of(private_mb(kernels[0].process.pid), "MB")

    kinds = [kind for kind in bench.kinds if kind.name in ("pupitre", "floor")]
    what = "private memory of the process Jupyter starts, after 10 cells"
    return [Result("front", what, Goal.at_most(1.2, "MB"), each(kinds, after_cells))]
