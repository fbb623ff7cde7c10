# SPDX-License-Identifier: BSD-3-Clause
"""The worker's last words, and that it does not outlive the front."""

import os
import select
import signal
import time

import pytest
from front import Front

IGNORE = """
for number in signal.valid_signals():
    try: signal.signal(number, signal.SIG_IGN)
    except OSError: pass
"""
NONE, SIGNAL, STACK = 0, 1, 2
# A function that calls itself for ever, as machine code: Python's own recursion is limited since 3.12.
CALLS_ITSELF = {"x86_64": "e8fbffffff", "aarch64": "fd7bbfa9ffffff97"}[os.uname().machine]
BEHIND_THE_END = """import mmap, tempfile
    file = tempfile.TemporaryFile()
    file.truncate(4096)
    memory = mmap.mmap(file.fileno(), 4096)
    file.truncate(0)
    memory[0]"""
RECURSION = f"""
import ctypes, mmap
page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
page.write(bytes.fromhex('{CALLS_ITSELF}'))
ctypes.CFUNCTYPE(None)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
"""


def die(front: Front, code: str) -> int:
    front.ask(code)
    return front.wait()


@pytest.mark.parametrize(
    ("code", "number", "address"),
    [
        ("import ctypes; ctypes.string_at(0)", signal.SIGSEGV, 0),
        ("import ctypes; ctypes.string_at(0x1234)", signal.SIGSEGV, 0x1234),
        ("os.abort()", signal.SIGABRT, 0),
        ("os.kill(os.getpid(), signal.SIGFPE)", signal.SIGFPE, 0),
        ("os.kill(os.getpid(), signal.SIGBUS)", signal.SIGBUS, 0),
        ("os.kill(os.getpid(), signal.SIGILL)", signal.SIGILL, 0),
        ("import threading, ctypes; threading.Thread(target=ctypes.string_at, args=(0,)).start(); input()", 11, 0),
        (
            BEHIND_THE_END,
            7,
            None,
        ),
    ],
    ids=["null", "wild", "abort", "fpe", "bus", "ill", "thread", "mmap"],
)
def test_a_fatal_signal_is_recorded(front: Front, code: str, number: int, address: int | None) -> None:
    assert die(front, "def culprit():\n    " + code + "\n    import time; time.sleep(60)\nculprit()") == -number
    assert (front.word("fault"), front.word("fault_signal")) == (SIGNAL, number)
    if address is not None:
        assert front.fault_address() == address
    assert "Fatal Python error" in front.last_words()
    if "thread" not in code:
        assert "in culprit" in front.last_words()
        assert front.word("activity") == 1


def test_the_end_of_the_c_stack_is_recognised(front: Front) -> None:
    assert die(front, RECURSION) == -signal.SIGSEGV
    assert front.word("fault") == STACK
    assert "Fatal Python error: Segmentation fault" in front.last_words()


@pytest.mark.parametrize(
    "disarm",
    [
        "faulthandler.disable()",
        "for s in (4, 6, 7, 8, 11): signal.signal(s, signal.SIG_DFL)",
        "signal.signal(signal.SIGSEGV, signal.SIG_IGN)",
        "faulthandler.enable(file=2)",
        "os.close(2)",
    ],
)
def test_fault_handlers_are_put_back(front: Front, disarm: str) -> None:
    assert front.run(disarm)["status"] == "ok"
    assert die(front, "import ctypes; ctypes.string_at(0)") == -signal.SIGSEGV
    assert front.word("fault") == SIGNAL
    assert "Fatal Python error" in (front.text() if "file=2" in disarm else front.last_words())


def test_an_exit_code_is_passed_on(front: Front) -> None:
    assert die(front, "print('last'); os._exit(3)") == 3
    assert front.word("fault") == NONE
    assert front.printed() == "last\n"


def test_text_written_just_before_the_end_arrives(front: Front) -> None:
    assert die(front, "print('last'); os.kill(os.getpid(), signal.SIGKILL)") == -signal.SIGKILL
    assert front.printed() == "last\n"


@pytest.mark.parametrize(
    "code",
    [
        "import time; time.sleep(100)",
        "sum(range(10**12))",
        "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals()); sum(range(10**12))",
        IGNORE + "sum(range(10**12))",
    ],
    ids=["sleep", "GIL held", "masked", "ignored"],
)
def test_the_death_of_the_front_takes_the_worker_and_its_children(front: Front, code: str) -> None:
    front.ask("import subprocess; child = subprocess.Popen(['sleep', '100']); print(child.pid, flush=True)\n" + code)
    while not front.printed().endswith("\n"):
        pass
    child = os.pidfd_open(int(front.printed()))
    begin = time.monotonic()
    front.lifeline.close()
    assert front.wait(5) == -signal.SIGKILL
    assert select.select([child], [], [], 5)[0]
    assert time.monotonic() - begin < 0.5  # 100 ms, and what a loaded machine adds
    os.close(child)


def test_idle_worker_dies_with_the_front(front: Front) -> None:
    front.lifeline.close()
    assert front.wait(5) == -signal.SIGKILL


def test_a_front_that_is_gone_at_start() -> None:
    with Front() as front:
        front.lifeline.close()
        front.link.close()
        assert front.wait(5) in (-signal.SIGKILL, 1)
