# SPDX-License-Identifier: BSD-3-Clause
"""What a cell's output costs until the client has all of it, and what is lost on the way.

Read with jupyter_client, as front ends do.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import ExitStack
from queue import Empty
from statistics import median
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient

from .peers import Kernel, Kind
from .table import Bench, Figure, Figures, Goal, Result, each
from .wire import NoAnswer

PRINTS = "for i in range(10_000): print(i)"
DISPLAYS = """
from IPython.display import display
text = "x" * 2**20
for i in range(100): display({"text/plain": text}, raw=True)
"""
FLUSHED = "for i in range(20_000): print(i, flush=True)"
FLUSHED_BYTES = sum(len(str(i)) + 1 for i in range(20_000))
LEFT_OUT = re.compile(r"\n?\[Pupitre: (\d+) bytes of output are left out here\]\n")
DEADLINE = 40.0  # seconds for one cell
SILENCE = 8.0  # seconds without a message after which idle counts as lost


class Reader:
    """A jupyter_client on one kernel."""

    def __init__(self, kernel: Kernel) -> None:
        kernel.client().settle()
        self._client = BlockingKernelClient(connection_file=str(kernel.file))
        self._client.load_connection_file()
        self._client.start_channels(hb=False, stdin=False, control=False)
        self._client.wait_for_ready(timeout=30)

    def close(self) -> None:
        self._client.stop_channels()

    def execute(self, code: str) -> str:
        return str(self._client.execute(code, store_history=False))

    def until_idle(self, message_id: str, seconds: float = DEADLINE) -> tuple[list[dict[str, Any]], bool]:
        """The messages of this request, and whether idle came with them."""
        deadline = time.monotonic() + seconds
        messages = []
        while (left := deadline - time.monotonic()) > 0:
            try:
                message = self._client.get_iopub_msg(timeout=min(left, SILENCE))
            except Empty:
                break
            if message["parent_header"].get("msg_id") != message_id:
                continue
            messages.append(message)
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                return messages, True
        return messages, False

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def stream_text(messages: list[dict[str, Any]], name: str = "stdout") -> str:
    return "".join(m["content"]["text"] for m in messages if m["msg_type"] == "stream" and m["content"]["name"] == name)


def prints(bench: Bench) -> list[Result]:
    wanted = "".join(f"{i}\n" for i in range(10_000))

    def check(messages: list[dict[str, Any]]) -> str:
        arrived = stream_text(messages)
        return "" if arrived == wanted else f"{arrived.count(chr(10)):,} of 10,000 arrive"

    figures, ratio = _in_turns(bench, PRINTS, check)
    what = "10,000 print lines until idle, jupyter_client reading"
    return [Result("prints", what, Goal.faster(6, "ipykernel"), figures, ratio)]


def displays(bench: Bench) -> list[Result]:
    def check(messages: list[dict[str, Any]]) -> str:
        sizes = [len(m["content"]["data"]["text/plain"]) for m in messages if m["msg_type"] == "display_data"]
        return "" if sizes == [2**20] * 100 else f"{len(sizes)} of 100 arrive"

    figures, ratio = _in_turns(bench, DISPLAYS, check)
    what = "100 x 1 MB of display data until idle"
    return [Result("displays", what, Goal.faster(1.3, "ipykernel"), figures, ratio)]


def _in_turns(bench: Bench, code: str, check: Callable[[list[dict[str, Any]]], str]) -> tuple[Figures, float | None]:
    """Median time until idle of each kernel, measured in turns; and ours to ipykernel's, turn by turn."""
    times: dict[str, list[float]] = {}
    broken: Figures = {}
    with ExitStack() as stack:
        readers = {kind: stack.enter_context(bench.start(kind)) for kind in bench.real}
        clients = {kind: stack.enter_context(Reader(kernel)) for kind, kernel in readers.items()}
        for _ in range(2 if bench.quick else 7):
            for kind, reader in clients.items():
                if kind.name in broken:
                    continue
                before = time.perf_counter()
                messages, idle = reader.until_idle(reader.execute(code))
                took = time.perf_counter() - before
                trouble = check(messages)
                if not idle:
                    broken[kind.name] = Figure(None, f"idle lost, {trouble or 'all arrive'}")
                elif trouble:
                    broken[kind.name] = Figure(took * 1000, f"{took * 1000:,.0f} ms, {trouble}")
                times.setdefault(kind.name, []).append(took)
    figures = {name: Figure.of(median(values) * 1000, "ms") for name, values in times.items()} | broken
    ours, peer = times.get("pupitre"), times.get("ipykernel")
    ratio = median(a / b for a, b in zip(ours, peer, strict=False)) if ours and peer else None
    return figures, ratio


def pause(bench: Bench) -> list[Result]:
    def slow_client(kind: Kind) -> Figure:
        with bench.start(kind) as kernel, Reader(kernel) as reader:
            message_id = reader.execute(FLUSHED)
            time.sleep(6)  # the row itself: a client that does not read
            messages, idle = reader.until_idle(message_id)
            text = stream_text(messages)
            arrived = len(re.findall(r"^\d+$", text, re.M))
            left_out = [int(size) for size in LEFT_OUT.findall(text)]
            counted = len(LEFT_OUT.sub("", text)) + sum(left_out) == FLUSHED_BYTES
            note = f"{arrived:,} of 20,000" + (f" and {sum(left_out):,} bytes said to be left out" if left_out else "")
            if not idle:
                raise NoAnswer(f"{note}, idle lost")
            return Figure(20_000 if counted else arrived, f"{note}, idle")

    what = "20,000 flushed lines, the client pauses 6 s: lines that arrive, or are counted as left out"
    return [Result("pause", what, Goal.at_least(20_000), each(bench.real, slow_client))]
