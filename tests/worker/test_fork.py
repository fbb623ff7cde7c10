# SPDX-License-Identifier: BSD-3-Clause
"""A child of os.fork() prints, and never answers for the kernel."""

import pytest
from front import Front

WAIT = "os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])"


@pytest.mark.parametrize(
    ("child", "status"),
    [
        ("print('child')", 0),
        ("print('child'); raise ValueError('oh')", 1),
        ("print('child'); os._exit(3)", 3),
        ("print('child'); raise SystemExit(4)", 4),
        ("print('child'); _pupitre.dispatch()", 1),
        ("print('child'); os.execvp('true', ['true'])", 0),
    ],
    ids=["return", "raise", "exit", "SystemExit", "dispatch", "exec"],
)
def test_fork(front: Front, child: str, status: int) -> None:
    code = f"pid = os.fork()\nif pid == 0:\n    {child}\nelse:\n    result = {WAIT}\n    print('parent')"
    for _ in range(3):
        serial = front.ask(code)
        assert front.reply(serial).content["result"] == str(status)
        assert front.printed(serial) == "parent\n"
        assert front.run("result = 1")["result"] == "1"
    assert front.text().count("child\n") == 3
    if status == 1 and "oh" in child:
        assert "ValueError: oh" in front.text()


def test_a_child_knows_what_it_is_and_cannot_send(front: Front) -> None:
    code = f"""
pid = os.fork()
if pid == 0:
    try: _pupitre.send(_pupitre.PUBLISH, 0, 1, [b'x'])
    except OSError as error: os._exit(50 + error.errno if _pupitre.is_child() else 1)
    os._exit(2)
result = {WAIT}, _pupitre.is_child()
"""
    assert front.run(code)["result"] == "(59, False)"


def test_a_child_does_not_touch_the_state_page(front: Front) -> None:
    code = f"""
pid = os.fork()
if pid == 0:
    _pupitre.call_user(99, 98, lambda: None)
    _pupitre.wait(int)
    os._exit(0)
result = {WAIT}
import time; time.sleep(60)
"""
    serial = front.ask(code)
    front.wait_word("activity", 1)
    assert (front.word("serial"), front.word("generation")) == (serial, 1)
    front.interrupt()
    assert front.reply(serial).content["ename"] == "KeyboardInterrupt"


def test_a_child_can_be_interrupted(front: Front) -> None:
    code = f"""
import time
r, w = os.pipe()
pid = os.fork()
if pid == 0:
    try:
        os.write(w, b'x')
        time.sleep(60)
    except KeyboardInterrupt:
        os._exit(9)
os.read(r, 1)
os.kill(pid, signal.SIGINT)
result = {WAIT}
"""
    assert front.run(code)["result"] == "9"


def test_multiprocessing(front: Front) -> None:
    code = """
import multiprocessing
with multiprocessing.get_context('fork').Pool(2) as pool: result = pool.map(abs, [-1, -2, -3])
"""
    assert front.run(code)["result"] == "[1, 2, 3]"
    assert front.run("result = 1")["result"] == "1"


def test_a_fork_in_a_thread(front: Front) -> None:
    code = f"""
import threading
def run():
    global pid
    pid = os.fork()
    if pid == 0:
        print('child of a thread', flush=True)
        os._exit(0)
t = threading.Thread(target=run); t.start(); t.join()
result = {WAIT}
"""
    assert front.run(code)["result"] == "0"
    assert "child of a thread\n" in front.text()


def test_lines_of_children_do_not_mix_and_none_is_lost(front: Front) -> None:
    code = """
pids = []
for n in range(4):
    pid = os.fork()
    if pid == 0:
        for i in range(200): print(n, 'of', 4, 'says', i)
        print('end', n, end=';')
        os._exit(0)
    pids.append(pid)
for pid in pids: os.waitpid(pid, 0)
"""
    assert front.run(code)["status"] == "ok"
    text = front.text()
    assert all(f"{n} of 4 says {i}\n" in text for n in range(4) for i in range(200))
    assert all(f"end {n};" in text for n in range(4))


def test_a_child_flushes_and_its_own_children_do_not_repeat_it(front: Front) -> None:
    code = f"""
import subprocess
pid = os.fork()
if pid == 0:
    print('once', end=' ')
    try: subprocess.run(['/nonexistent-program'], preexec_fn=lambda: None)
    except FileNotFoundError: pass
    try: subprocess.run(['/nonexistent-program'])
    except FileNotFoundError: pass
    if os.fork() == 0: os._exit(0)
    sys.stdout.flush()
    os.write(1, b'after\\n')
    os._exit(0)
result = {WAIT}
"""
    assert front.run(code)["result"] == "0"
    assert front.text() == "once after\n"
