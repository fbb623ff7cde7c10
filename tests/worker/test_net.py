# SPDX-License-Identifier: BSD-3-Clause
"""Every request is answered exactly once, whatever fails on the way."""

import json

import pytest
from front import DONE, EXIT, INPUT_REPLY, PUBLISH, REPLY, Front


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


def test_a_failing_fail_gets_a_canned_reply(front: Front) -> None:
    front.run("engine.fails = True")
    serial = front.ask("raise ValueError('oh')", "raise")
    error = front.receive()
    assert (error.type, error.serial, error.parts[:4]) == (PUBLISH, serial, [b"error", b"", b"", b"{}"])
    assert error.content["ename"] == "KernelError" and "ValueError" in error.content["evalue"]
    reply = front.reply(serial)
    assert (reply.parts[0], reply.flags) == (b"execute_reply", 2)
    assert reply.content["status"] == "error" and reply.content["ename"] == "KernelError"


@pytest.mark.parametrize(
    ("msg_type", "answer"),
    [
        ("complete_request", b"complete_reply"),
        ("x" * 50 + "_request", b"x" * 50 + b"_reply"),
        ("comm_msg", None),
        ("x" * 70 + "_request", None),
        ("_request", None),
        ("", None),
    ],
)
def test_canned_answers_fit_the_request(front: Front, msg_type: str, answer: bytes | None) -> None:
    front.run("engine.fails = True")
    serial = front.ask("1/0", "raise", msg_type)
    frame = front.receive()
    assert (frame.serial, frame.type) == (serial, DONE if answer is None else REPLY)
    if answer is not None:
        assert frame.parts[0] == answer


def test_a_deferred_reply_comes_once(front: Front) -> None:
    serial = front.ask("", "later")
    front.run("os.eventfd_write(_pupitre.wake_fd, 1)", "ours")
    assert front.reply(serial).content["ename"] == "CancelledError"


def test_call_ours_answers_for_what_raises(front: Front) -> None:
    serial = front.ask("", "later")
    other = front.ask(f"_pupitre.call_ours({serial}, lambda: 1 / 0)", "ours")
    assert front.reply(serial).content["evalue"] == "ZeroDivisionError: division by zero"
    assert front.reply(other).content["status"] == "ok"


def test_frames_behind_a_receive_are_not_forgotten(front: Front) -> None:
    first = front.ask("result = _pupitre.receive(20)[3]")
    front.wait_word("activity", 1)
    answer, header = json.dumps({"value": "x"}).encode(), json.dumps({"msg_type": "execute_request"}).encode()
    from front import REQUEST, encode

    content = json.dumps({"code": "result = 5", "how": "user"}).encode()
    front.serial += 1
    both = encode(INPUT_REPLY, 0, first, [answer])
    front.link.sendall(both + encode(REQUEST, 0, front.serial, [header, b"{}", b"{}", content, b""]))
    assert front.reply(first).content["result"] == repr([answer])
    assert front.reply(front.serial).content["result"] == "5"


def test_receive_times_out(front: Front) -> None:
    assert front.value("_pupitre.receive(0), _pupitre.receive(0.01)") == "(None, None)"


@pytest.mark.parametrize(
    ("code", "ename"),
    [
        ("_pupitre.send()", "TypeError"),
        ("_pupitre.send(99999, 0, 0, [])", "OverflowError"),
        ("_pupitre.send(-1, 0, 0, [])", "OverflowError"),
        ("_pupitre.send(19, 0, 0, 5)", "TypeError"),
        ("_pupitre.send(19, 0, 0, ['text'])", "TypeError"),
        ("_pupitre.send(19, 0, 0, [b''] * 2000)", "OSError"),
        ("_pupitre.receive('x')", "TypeError"),
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


def test_exit_takes_a_second_at_most(front: Front) -> None:
    front.run(
        "import atexit, threading, time; atexit.register(time.sleep, 60); "
        "threading.Thread(target=time.sleep, args=(60,)).start()"
    )
    front.send(EXIT, 0, [])
    front.receive()
    assert front.wait(3) == 7


def test_atexit_and_threads_end_well(front: Front) -> None:
    front.run("import atexit; atexit.register(os.write, 1, b'farewell')")
    assert front.exit() == 7
    assert front.text() == "farewell"
