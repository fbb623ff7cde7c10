# SPDX-License-Identifier: BSD-3-Clause
"""Restart out of a hostile state, as a manager does it: shutdown_request, SIGTERM, SIGKILL. Nothing is left."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from hostile_kernel import HostileKernel

SAY = "print('now', flush=True)\n"  # what each state prints once it is reached
SHOUT = "def shout():\n    while True: print('now')\n"
REFUSE = "def no(*args): raise RuntimeError\n"
# Memory used up to the last byte: CPython 3.11 may then unwind for ever, with SIGINT unheard.
EAT = """
import resource
used = int(open("/proc/self/statm").read().split()[0]) * 4096
resource.setrlimit(resource.RLIMIT_AS, (used + (32 << 20),) * 2)
hog = []
while True:
    hog.append([hog, len(hog)])
"""
STATES = {
    "gil_held": SAY + "sum(range(10**10))",
    "busy_loop": SAY + "while True: pass",
    "catches_everything": SAY + "while True:\n try:\n  while True: pass\n except BaseException: pass",
    "signals_blocked": "import signal, time\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\n"
    + SAY
    + "time.sleep(60)",
    "signals_ignored": "import signal, time\nfor n in 1, 2, 15: signal.signal(n, signal.SIG_IGN)\n"
    + SAY
    + "time.sleep(60)",
    "stopped": SAY + "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)",
    "endless_print": SHOUT + "shout()",
    "awaiting": SAY + "import asyncio\nawait asyncio.sleep(60)",
    "atexit_sleeps": SAY + "import atexit, time\natexit.register(time.sleep, 60)",
    "modules_cleared": SAY + "import sys\nsys.modules.clear()",
    "descriptors_closed": SAY + "import os, time\nos.closerange(3, 4000)\ntime.sleep(60)",
    "loop_closed": SAY + "import asyncio\nasyncio.get_running_loop().close()",
    "threads": SHOUT + "import threading\nfor _ in range(50): threading.Thread(target=shout).start()",
    "subprocess": SAY + "import subprocess\nsubprocess.run(['sleep', '60'])",
    "shell": SAY + "!sleep 60",
    "background": SAY + "import subprocess\njob = subprocess.Popen(['sleep', '60'])",
    "forked": SAY + "import os, time\nif os.fork() == 0: time.sleep(60)",
    "traced": SAY + REFUSE + "import sys\nsys.settrace(no)",
    "fault_handled": "import ctypes, signal\nsignal.signal(signal.SIGSEGV, print)\n" + SAY + "ctypes.string_at(0)",
    "out_of_memory": SAY + EAT,
    "input": SAY + "input('?')",
}
# What a state needs after shutdown_request: at once here, where a manager sends SIGTERM after 2.5 s, SIGKILL after 5 s.
FORCE = {
    "gil_held": (signal.SIGTERM,),
    "catches_everything": (signal.SIGTERM,),
    "signals_blocked": (signal.SIGTERM, signal.SIGKILL),
    "signals_ignored": (signal.SIGTERM, signal.SIGKILL),
    "atexit_sleeps": (signal.SIGTERM,),
    "threads": (signal.SIGTERM,),
    "fault_handled": (signal.SIGTERM,),
    "out_of_memory": (signal.SIGTERM,),
}


@pytest.mark.parametrize("state", STATES)
def test_shutdown(state: str, tmp_path: Path) -> None:
    with HostileKernel(tmp_path) as kernel:
        kernel.wait_until_ready()
        running = kernel.follow(kernel.execute(STATES[state]), 10, stop=("stream",))
        assert "stream" in running.types, str(running)
        kernel.client.shutdown(restart=True, reply=True, timeout=5)
        for number in FORCE.get(state, ()):
            os.killpg(kernel.process.pid, number)
        assert kernel.ended(), f"{state}: the process lives on"
        left = left_behind(kernel)
        assert not left, f"{state}: left behind {left}"


def left_behind(kernel: HostileKernel) -> list[int]:
    """Processes of the kernel that are still there after half a second."""
    deadline = time.monotonic() + 0.5
    while (left := list(kernel.leftovers())) and time.monotonic() < deadline:
        time.sleep(0.01)
    return left


@pytest.mark.parametrize("state", ["idle", "gil_held", "stopped", "signals_blocked", "subprocess", "forked"])
def test_front_killed(state: str, tmp_path: Path) -> None:
    """SIGKILL to the process Jupyter knows: everything below it is gone within half a second."""
    with HostileKernel(tmp_path) as kernel:
        kernel.wait_until_ready()
        kernel.follow(kernel.execute(STATES.get(state, "print('now')")), 10, stop=("stream",))
        kernel.process.kill()
        kernel.process.wait(timeout=5)
        left = left_behind(kernel)
        assert not left, f"{state}: left behind {left}"
