# SPDX-License-Identifier: BSD-3-Clause
"""How long a person or a program waits: start, one empty cell, a control request, a restart.

The machine is noisy, so kernels that are compared are measured in turns, and ratios are taken turn by turn.
"""

from __future__ import annotations

import signal
import time
from contextlib import ExitStack
from statistics import median

import zmq

from .peers import FLOOR, Kernel, Kind
from .table import OURS, Bench, Figure, Figures, Goal, Result, each
from .wire import NoAnswer, RawClient, execute_content, is_idle

HOLD_GIL = "sum(range(10**10))"


def start(bench: Bench) -> list[Result]:
    times: dict[str, list[float]] = {kind.name: [] for kind in bench.kinds}
    failures: dict[str, str] = {}
    for _ in range(5 if bench.quick else 20):
        for kind in bench.kinds:
            try:
                times[kind.name].append(_first_reply(bench, kind))
            except NoAnswer as why:
                failures[kind.name] = str(why)
    figures = {
        name: Figure.of(median(values) * 1000, "ms", failures.get(name, "")) if values else Figure(None, failures[name])
        for name, values in times.items()
    }
    what = "exec to the first cell's reply, median"
    return [Result("start", what, Goal.times(0.8, "xeus-python"), figures)]


def _first_reply(bench: Bench, kind: Kind) -> float:
    with bench.start(kind) as kernel:
        client = kernel.client()
        client.reply_to(client.execute("1+1"), 30)
        return time.perf_counter() - kernel.started


def empty_cell(bench: Bench) -> list[Result]:
    """Several processes of each kind after one another: where the scheduler puts one tells little about the next."""
    blocks: dict[str, list[float]] = {kind.name: [] for kind in bench.kinds}
    failures: dict[str, str] = {}
    for _ in range(2 if bench.quick else 5):
        with ExitStack() as stack:
            clients: dict[str, RawClient] = {}
            for kind in bench.kinds:
                client = stack.enter_context(bench.start(kind)).client()
                try:
                    client.settle()
                    _block(client, 50)
                    clients[kind.name] = client
                except NoAnswer as why:
                    failures[kind.name] = str(why)
            for _ in range(4):
                for name, client in clients.items():
                    blocks[name].append(median(_block(client, 25)))
    return [_empty_cell_result(blocks, failures)]


def _empty_cell_result(blocks: dict[str, list[float]], failures: dict[str, str]) -> Result:
    figures: Figures = {name: Figure(None, why) for name, why in failures.items()}
    ratios: dict[str, float] = {}
    for name, values in blocks.items():
        if name in failures:
            continue
        figures[name] = Figure.of(median(values) * 1e6, "µs")
        if FLOOR in blocks and FLOOR not in failures:
            ratios[name] = median(value / floor for value, floor in zip(values, blocks[FLOOR], strict=True))
            figures[name] = Figure(figures[name].value, f"{figures[name].text} ({ratios[name]:.2f} x floor)")
    what = "`pass`, request to reply, raw client, median of blocks in turns"
    return Result("pass", what, Goal.times(1.6, FLOOR), figures, ratios.get(OURS))


def _block(client: RawClient, requests: int) -> list[float]:
    """Seconds from request to reply of as many requests, each waited for until idle."""
    client.shell.rcvtimeo = 10_000  # ms
    times = []
    for _ in range(requests):
        message_id, frames = client.encode("execute_request", execute_content("pass"))
        before = time.perf_counter()
        client.shell.send_multipart(frames)
        try:
            client.shell.recv_multipart()
        except zmq.Again:
            raise NoAnswer("none in 10 s") from None
        times.append(time.perf_counter() - before)
        client.iopub_until(message_id, is_idle, 10)
    return times


def control(bench: Bench) -> list[Result]:
    def asked(kind: Kind) -> Figure:
        with bench.start(kind) as kernel:
            client = kernel.client()
            client.settle()
            hold_gil(kernel, client)
            times = []
            for _ in range(20 if bench.quick else 100):
                _, frames = client.encode("kernel_info_request", {})
                before = time.perf_counter()
                client.control.send_multipart(frames)
                client.receive(client.control, 8)
                times.append(time.perf_counter() - before)
            return Figure.of(sorted(times)[int(len(times) * 0.99) - 1] * 1000, "ms")

    what = "kernel_info on control while C code holds the GIL, p99 of 100"
    return [Result("control", what, Goal.at_most(20, "ms"), each(bench.real, asked))]


def hold_gil(kernel: Kernel, client: RawClient) -> None:
    """Start a cell that holds the GIL in C for minutes, and wait until it does: its processor time tells."""
    before = kernel.cpu_seconds()
    client.execute(HOLD_GIL)
    deadline = time.monotonic() + 10
    while kernel.cpu_seconds() < before + 0.3:
        if time.monotonic() > deadline:
            raise NoAnswer("does not run the cell")
        time.sleep(0.02)


def restart(bench: Bench) -> list[Result]:
    def again(kind: Kind) -> Figure:
        return Figure.of(median(_restart(bench, kind) for _ in range(1 if bench.quick else 5)), "s")

    what = "restart out of a loop that holds the GIL: shutdown_request to the new kernel's first reply"
    return [Result("restart", what, Goal.at_most(1, "s"), each(bench.real, again))]


def _restart(bench: Bench, kind: Kind) -> float:
    """As jupyter_client restarts: SIGINT, shutdown_request, SIGTERM after half of 5 s, SIGKILL after all of it."""
    with bench.start(kind) as kernel:
        client = kernel.client()
        client.settle()
        hold_gil(kernel, client)
        begun = time.perf_counter()
        kernel.interrupt()
        client.ask("shutdown_request", {"restart": True})
        for last_resort in (signal.SIGTERM, signal.SIGKILL):
            if _ends(kernel, 2.5):
                break
            kernel.process.send_signal(last_resort)
        if not _ends(kernel, 5):
            raise NoAnswer("does not end")
        return time.perf_counter() - begun + _first_reply(bench, kind)


def _ends(kernel: Kernel, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while kernel.death() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    return kernel.death() is not None
