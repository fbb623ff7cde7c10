# SPDX-License-Identifier: BSD-3-Clause
"""Every request is answered exactly once, whatever fails on the way."""

import os
import select
from pathlib import Path

import pytest
from front import BYE, DONE, EXIT, INPUT_REPLY, Front, encode


def test_a_handler_that_raises(front: Front) -> None:
    content = front.reply(front.ask("raise ValueError('oh')", "raise")).content
    assert content == {"status": "error", "ename": "failed", "evalue": "ValueError: oh"}


def test_a_handler_that_forgets(front: Front) -> None:
    content = front.reply(front.ask("", "silent")).content
    assert content["evalue"] == "RuntimeError: the kernel's handler returned without an answer"


def test_a_reply_after_a_failure_is_dropped(front: Front) -> None:
    code = "engine.reply(engine.loads(parts[0]).__len__(), 'ok')"
    front.reply(front.ask(code, "raise"))  # parts is unknown: NameError after nothing was sent
    front.reply(front.ask("engine.reply(2, 'ok'); engine.reply(2, 'ok'); raise ValueError", "raise"))
    assert front.run("result = 1")["result"] == "1"


def test_a_failing_fail_leaves_the_answer_to_the_front(front: Front) -> None:
    front.run("engine.fails = True")
    serial = front.ask("raise ValueError('oh')", "raise")
    frame = front.receive()
    assert (frame.type, frame.serial, frame.parts) == (DONE, serial, [b"ValueError"])
    assert front.run("result = 1")["result"] == "1"


@pytest.mark.parametrize("msg_type", ["complete_request", "x" * 5000 + "_request", "comm_msg", ""])
def test_every_type_is_answered_once(front: Front, msg_type: str) -> None:
    front.run("engine.fails = True")
    serial = front.ask("1/0", "raise", msg_type)
    frame = front.receive()
    assert (frame.type, frame.serial, frame.parts) == (DONE, serial, [b"ZeroDivisionError"])
    assert front.run("result = 1")["result"] == "1"


def test_a_deferred_reply_comes_once(front: Front) -> None:
    serial = front.ask("", "later")
    front.run("os.eventfd_write(_pupitre.wake_fd, 1)", "ours")
    assert front.reply(serial).content["ename"] == "CancelledError"


def test_call_ours_answers_for_what_raises(front: Front) -> None:
    serial = front.ask("", "later")
    other = front.ask(f"_pupitre.call_ours({serial}, lambda: 1 / 0)", "ours")
    assert front.reply(serial).content["evalue"] == "ZeroDivisionError: division by zero"
    assert front.reply(other).content["status"] == "ok"


def test_an_answer_is_waited_for_by_its_number(front: Front) -> None:
    serial = front.ask("result = _pupitre.wait_for_answer(7), _pupitre.wait_for_answer(8)")
    front.wait_word("activity", 1)
    stale, right, none = ((number, parts) for number, parts in ((6, [b"stale"]), (7, [b"right"]), (8, [])))
    front.answers.sendall(b"".join(encode(INPUT_REPLY, number, 0, parts) for number, parts in (stale, right, none)))
    assert front.reply(serial).content["result"] == repr((b"right", None))


def test_a_thread_waits_for_its_answer_and_takes_no_request(front: Front) -> None:
    front.run(
        "import threading; got = []; thread = threading.Thread(target=lambda: got.append(_pupitre.wait_for_answer(1)))"
    )
    front.run("thread.start()")
    for number in range(5):
        assert front.value(str(number)) == str(number)
    front.answers.sendall(encode(INPUT_REPLY, 1, 0, [b"late"]))
    assert front.value("thread.join(20) or got") == repr([b"late"])


def test_requests_sent_together_with_start_are_served() -> None:
    with Front() as front:
        front.start("result = 5", "result = 6")
        assert [front.reply(serial).content["result"] for serial in (1, 2)] == ["5", "6"]


def test_wait_for_answer_without_a_front(front: Front) -> None:
    front.answers.close()
    serial = front.ask("_pupitre.wait_for_answer(1)")
    assert front.reply(serial).content["ename"] == "EOFError"


@pytest.mark.parametrize(
    ("code", "ename"),
    [
        ("_pupitre.send()", "TypeError"),
        ("_pupitre.send(99999, 0, 0, [])", "OverflowError"),
        ("_pupitre.send(-1, 0, 0, [])", "OverflowError"),
        ("_pupitre.send(19, 0, 0, 5)", "TypeError"),
        ("_pupitre.send(19, 0, 0, ['text'])", "TypeError"),
        ("_pupitre.send(19, 0, 0, [b''] * 70000)", "OSError"),
        ("_pupitre.wait_for_answer('x')", "TypeError"),
        ("_pupitre.call_user(1)", "TypeError"),
        ("_pupitre.call_user(-1, 1, print)", "OverflowError"),
        ("_pupitre.call_ours(1)", "TypeError"),
        ("_pupitre.set_handler(1, 2)", "TypeError"),
        ("_pupitre.set_parent(5)", "TypeError"),
        ("_pupitre.set_pending(5)", "TypeError"),
    ],
)
def test_bad_arguments(front: Front, code: str, ename: str) -> None:
    assert front.run(code)["ename"] == ename
    assert front.run("result = 1")["result"] == "1"


def test_a_front_that_talks_nonsense_ends_the_worker(front: Front) -> None:
    front.link.sendall(b"nonsense" * 100)
    assert front.wait() == 4
    assert "wrong magic" in front.text()


def test_a_link_that_closes_ends_the_worker(front: Front) -> None:
    front.link.shutdown(2)
    assert front.wait() == 1


@pytest.mark.parametrize(
    "how", ["atexit.register(last)", "threading.Thread(target=last).start()"], ids=["atexit", "thread"]
)
def test_exit_waits_for_what_the_code_does_last(front: Front, tmp_path: Path, how: str) -> None:
    """Whoever asked for the end has patience, and a SIGKILL, of his own."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    front.run(f"import atexit, threading\ndef last(): os.write(1, open({str(pipe)!r}, 'rb').read())\n{how}")
    front.send(EXIT, 0, [])
    with pipe.open("wb") as release:
        assert select.select([front.pidfd], [], [], 1.5)[0] == []
        release.write(b"saved")
    assert front.receive().type == BYE and front.wait() == 7
    assert front.text() == "saved"


def test_atexit_and_threads_end_well(front: Front) -> None:
    front.run("import atexit; atexit.register(os.write, 1, b'farewell')")
    assert front.exit() == 7
    assert front.text() == "farewell"
