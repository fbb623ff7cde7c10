# SPDX-License-Identifier: BSD-3-Clause
"""SIGINT hits the student's code, and only that."""

import pytest
from front import IDLE_AWAIT, OURS, USER, Front


@pytest.mark.parametrize(
    "code",
    [
        "import time; time.sleep(60)",
        "while True: pass",
        "import threading; lock = threading.Lock(); lock.acquire(); lock.acquire()",
        "import select; select.select([], [], [])",
        "_pupitre.wait_for_answer(1)",
        "import subprocess; subprocess.run(['sleep', '60'])",
    ],
    ids=["sleep", "loop", "lock", "select", "answer", "subprocess"],
)
def test_user_code_is_interrupted(front: Front, code: str) -> None:
    serial = front.ask(code)
    front.wait_word("activity", USER)
    assert (front.word("serial"), front.word("cell")) == (serial, serial)
    front.interrupt()
    assert front.reply(serial).content["ename"] == "KeyboardInterrupt"
    front.wait_word("activity", OURS)
    assert front.run("result = 1")["result"] == "1"


def test_an_interrupt_just_before_a_system_call(front: Front) -> None:
    """Between kill and sleep no bytecode runs, so Python does not look for signals."""
    code = """
import ctypes, functools, operator, time
kill = functools.partial(ctypes.CDLL(None).kill, os.getpid(), signal.SIGINT)
list(map(operator.call, [kill, functools.partial(time.sleep, 60)]))
"""
    assert front.run(code)["ename"] == "KeyboardInterrupt"


def test_idle_and_our_code_are_not(front: Front) -> None:
    for _ in range(50):
        front.interrupt()
    code = "for _ in range(50): os.kill(os.getpid(), signal.SIGINT); [None for _ in range(1000)]"
    assert front.run(code, "ours")["status"] == "ok"
    assert front.run("result = 1")["result"] == "1"


def test_what_is_pending_when_user_code_ends_is_forgotten(front: Front) -> None:
    for _ in range(200):
        serial = front.ask("pass")
        front.interrupt()
        assert front.reply(serial).content["status"] in ("ok", "error")
        assert front.run("result = 1")["status"] == "ok"


def test_an_interrupt_in_the_last_moment_of_user_code_is_forgotten(front: Front) -> None:
    """A C function gets the signal and returns: Python has not looked for signals when user code is left."""
    code = "import ctypes; _pupitre.call_user(7, 7, ctypes.CDLL(None)['raise'], signal.SIGINT); result = 'whole'"
    assert front.run(code, "ours")["result"] == "'whole'"


def test_an_interrupt_in_the_last_moment_of_a_step_cancels_the_await_cell(front: Front) -> None:
    """Or of a callback beside it: the cell has not ended, so Stop is for it."""
    serial = front.ask("", "await")
    front.wait_word("activity", IDLE_AWAIT)
    code = "import ctypes; _pupitre.call_user(0, 0, ctypes.CDLL(None)['raise'], signal.SIGINT); result = 'whole'"
    assert front.run(code, "ours")["result"] == "'whole'"
    assert front.reply(serial).content["ename"] == "CancelledError"


def test_an_interrupt_asked_for_before_user_code_begins(front: Front) -> None:
    front.set_word("interrupt_serial", 1)
    assert front.run("result = 1")["ename"] == "KeyboardInterrupt"
    assert front.word("interrupt_serial") == 0
    assert front.run("result = 1")["status"] == "ok"


def test_an_interrupt_meant_for_another_request_does_nothing(front: Front) -> None:
    front.set_word("interrupt_serial", 9)
    assert front.run("result = 1")["status"] == "ok"


def test_a_waiting_await_cell_is_woken(front: Front) -> None:
    serial = front.ask("", "await")
    front.wait_word("activity", IDLE_AWAIT)
    assert (front.word("serial"), front.word("cell")) == (serial, serial)
    front.interrupt()
    assert front.reply(serial).content["ename"] == "CancelledError"


def test_an_early_interrupt_wakes_an_await_cell(front: Front) -> None:
    front.set_word("interrupt_serial", 1)
    serial = front.ask("", "await")
    assert front.reply(serial).content["ename"] == "CancelledError"


@pytest.mark.parametrize(
    "code",
    [
        "signal.signal(signal.SIGINT, signal.SIG_IGN)",
        "signal.signal(signal.SIGINT, signal.SIG_DFL)",
        "signal.signal(signal.SIGINT, lambda *a: print('mine'))",
        "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())",
        "signal.set_wakeup_fd(-1)",
        "import ctypes; ctypes.CDLL(None).signal(2, 1)",
        "for s in range(signal.SIGRTMIN, signal.SIGRTMAX - 2): signal.signal(s, signal.SIG_DFL)",
        "for s in (62, 63):\n  try: signal.signal(s, signal.SIG_DFL)\n  except OSError: pass",
    ],
    ids=["ignore", "default", "own", "mask", "wakeup", "libc", "real-time", "reserved"],
)
def test_signals_are_put_right_for_the_next_cell(front: Front, code: str) -> None:
    assert front.run(code)["status"] == "ok"
    front.interrupt()  # outside user code: nothing
    serial = front.ask("import time; time.sleep(60)")
    front.wait_word("activity", USER)
    front.interrupt()
    assert front.reply(serial).content["ename"] == "KeyboardInterrupt"
    assert front.value("signal.getsignal(signal.SIGINT) is signal.default_int_handler") == "True"


def test_a_handler_of_the_users_serves_within_its_cell(front: Front) -> None:
    code = """
hit = []
signal.signal(signal.SIGINT, lambda *a: hit.append(1))
os.kill(os.getpid(), signal.SIGINT)
result = hit
"""
    assert front.run(code)["result"] == "[1]"


def test_asyncio_run_cancels_and_gives_sigint_back(front: Front) -> None:
    code = "import asyncio\nasyncio.run(asyncio.sleep(60))"
    serial = front.ask(code)
    front.wait_word("activity", USER)
    front.interrupt()
    assert front.reply(serial).content["ename"] == "KeyboardInterrupt"


def test_a_second_press_insists(front: Front) -> None:
    code = """
import time
print('begin', file=sys.stderr)
while True:
    try: time.sleep(0.01)
    except: print('caught')
"""
    serial = front.ask(code)
    front.wait_printed("begin", serial, 2)
    front.interrupt()
    front.wait_printed("caught", serial)
    front.interrupt()
    assert front.reply(serial).content["ename"] == "KeyboardInterrupt"


def test_a_single_press_can_be_caught(front: Front) -> None:
    code = """
import time
caught = 0
while caught < 1:
    try: time.sleep(10)
    except KeyboardInterrupt: caught += 1
for _ in range(10000): pass
result = caught
"""
    serial = front.ask(code)
    front.wait_word("activity", USER)
    front.interrupt()
    assert front.reply(serial).content["result"] == "1"


def test_two_presses_before_the_first_is_noticed_raise_once(front: Front) -> None:
    code = """
caught = 0
for _ in range(3):
    try:
        os.kill(os.getpid(), signal.SIGINT)
        [None for _ in range(100)]
    except KeyboardInterrupt:
        caught += 1
result = caught
"""
    content = front.run(code)
    assert content.get("result") in (None, "3")
    assert front.run("result = 1")["status"] == "ok"


def test_nested_calls_restore_what_was(front: Front) -> None:
    code = """
def inner(): pass
seen = []
_pupitre.call_user(5, 6, lambda: None)
os.kill(os.getpid(), signal.SIGINT)
[None for _ in range(100)]
"""
    assert front.run(code)["ename"] == "KeyboardInterrupt"
    assert front.word("activity") == OURS


def test_call_user_in_another_thread_is_a_plain_call(front: Front) -> None:
    """Interrupts are the main thread's, and so is what the state page says."""
    code = """
import threading
seen = []
t = threading.Thread(target=lambda: seen.append(_pupitre.call_user(99, 98, max, 1, 2))); t.start(); t.join()
print("begin", file=sys.stderr)
import time; time.sleep(60)
"""
    serial = front.ask(code)
    front.wait_printed("begin", serial, 2)
    assert front.word("serial") == serial and front.word("cell") != 98
    front.interrupt()
    assert front.reply(serial).content["ename"] == "KeyboardInterrupt"
    assert front.value("seen") == "[2]"


def test_a_storm_loses_no_reply(front: Front) -> None:
    import threading

    stop = threading.Event()

    def storm() -> None:
        while not stop.is_set():
            front.interrupt()

    thread = threading.Thread(target=storm)
    thread.start()
    try:
        for _ in range(300):
            content = front.run("sum(range(2000)); print('x')")
            assert content["status"] == "ok" or content["ename"] == "KeyboardInterrupt", content
    finally:
        stop.set()
        thread.join()
    assert front.run("result = 1")["result"] == "1"
