# SPDX-License-Identifier: BSD-3-Clause
"""What others feel of a student who takes all memory, processes or processors, within the limits of LimitedSpawner."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median

from pupitre.hub import Limits, groups_for_users, make_group

from .nursery import is_born
from .peers import OURS, Kernel, Kind
from .table import Bench, Figure, Goal, Result
from .wire import NoAnswer, RawClient

LIMITS: Limits = {
    "memory": 500 << 20,
    "pids": 150,
    "cpu": (os.cpu_count() or 2) / 2,
}  # of each student, as docs/admin.md advises
GREEDY, MODEST = 47998, 47999  # uids that only name the cgroups
CELL = "sum(range(400_000))"  # some 10 ms
SETTLE_SECONDS = 1.0  # until the greedy one is at its limit
GONE_SECONDS = 10.0
HOSTILE = {
    "eater": """
import os
while True:
    if not (pid := os.fork()):
        eaten = []
        while True: eaten.append(b"x" * (1 << 20))
    os.waitpid(pid, 0)
""",
    "fork bomb": """
import os, time
while True:
    try: os.fork()
    except OSError: time.sleep(0.1)
""",
    "busy threads": """
import hashlib, threading
for _ in range(32): threading.Thread(target=hashlib.pbkdf2_hmac, args=("sha256", b"", b"", 2**31 - 1)).start()
""",
}
ENTER = 'for file in $0; do echo 0 >$file; done; exec "$@"'


def neighbours(bench: Bench) -> list[Result]:
    starts = (
        "a kernel's start beside an eater, a fork bomb and busy threads of another user, times that before; the worst"
    )
    cells = "a cell of 10 ms beside them, times that before; the worst"
    try:
        first, second = _neighbours(bench)
    except (NoAnswer, OSError) as why:
        first = second = Figure(None, str(why))
    return [
        Result("neighbours", starts, Goal.at_most(2), {OURS[0]: first}),
        Result("neighbours", cells, Goal.at_most(1.5), {OURS[0]: second}),
    ]


def _neighbours(bench: Bench) -> tuple[Figure, Figure]:
    groups = groups_for_users(logging.getLogger("bench"))
    if len(groups) < len(LIMITS):
        raise NoAnswer("needs root and cgroups that can be written")
    greedy, modest = ([make_group(g, uid, LIMITS[key]) for key, g in groups.items()] for uid in (GREEDY, MODEST))
    born = bench.born()
    kind = replace(born, argv=("sh", "-c", ENTER, " ".join(map(str, modest)), *born.argv))
    try:
        with bench.start(kind) as kernel:
            client = kernel.client()
            client.settle()
            before = _measure(bench, kind, client)
            during = {}
            for name, code in HOSTILE.items():
                with _running(code, greedy):
                    during[name] = _measure(bench, kind, client)
    finally:
        _remove(greedy + modest)
    ratios = [{name: taken[i] / before[i] for name, taken in during.items()} for i in (0, 1)]
    notes = ["(" + ", ".join(f"{name} {ratio:.2f}" for name, ratio in part.items()) + ")" for part in ratios]
    first, second = (Figure.of(max(part.values()), "x", note) for part, note in zip(ratios, notes, strict=True))
    return first, second


def _measure(bench: Bench, kind: Kind, client: RawClient) -> tuple[float, float]:
    """Seconds of a start and of a cell, medians."""
    starts = [_start(bench.start(kind)) for _ in range(10 if bench.quick else 40)]
    cells = []
    for _ in range(50 if bench.quick else 300):
        begun = time.perf_counter()
        client.reply_to(client.execute(CELL), 60)
        cells.append(time.perf_counter() - begun)
    return median(starts), median(cells)


def _start(made: Kernel) -> float:
    with made as kernel:
        client = kernel.client()
        client.reply_to(client.execute("1+1"), 60)
        took = time.perf_counter() - kernel.started
        if not is_born(kernel.process.pid):
            raise NoAnswer("started cold")
        return took


@contextmanager
def _running(code: str, procs: list[Path]) -> Iterator[None]:
    words = ["sh", "-c", ENTER, " ".join(map(str, procs)), sys.executable, "-c", code]
    process = subprocess.Popen(words, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        time.sleep(SETTLE_SECONDS)
        if process.poll() is not None:
            raise NoAnswer(f"what should be greedy ended with {process.returncode}")
        yield
    finally:
        process.kill()
        _end(procs, process)


def _end(procs: list[Path], first: subprocess.Popen[bytes]) -> None:
    """Kill all that is in the groups; meanwhile nothing can fork there."""
    limit = next(file.with_name("pids.max") for file in procs if file.with_name("pids.max").exists())
    limit.write_text("0")
    deadline = time.monotonic() + GONE_SECONDS
    while int(limit.with_name("pids.current").read_text()):  # a zombie counts until it is reaped
        first.poll()
        pids = procs[0].read_text().split()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        if time.monotonic() > deadline:
            raise NoAnswer(f"{len(pids)} greedy processes do not end")
        time.sleep(0.01)
    limit.write_text(str(LIMITS["pids"]))


def _remove(procs: list[Path]) -> None:
    deadline = time.monotonic() + GONE_SECONDS
    for folder in {file.parent for file in procs}:
        while folder.exists() and time.monotonic() < deadline:
            with contextlib.suppress(OSError):  # killed processes leave a moment later
                folder.rmdir()
