# SPDX-License-Identifier: BSD-3-Clause
"""sys.stdout and sys.stderr reach the ring whole, in order, under the right request, whatever is written."""

import time

import pytest
from front import REPLY, RING_SIZE, Front


def test_text_stands_before_the_reply_that_follows_it(front: Front) -> None:
    front.run("print('before')")
    serial = front.ask("print('one'); print('two', file=sys.stderr)")
    reply = front.reply(serial)
    front.drain()
    ours = [record for record in front.records if record.serial == serial]
    assert "".join(r.text for r in ours if r.stream == 1) == "one\n"
    assert "".join(r.text for r in ours if r.stream == 2) == "two\n"
    assert reply.position == ours[-1].end


def test_frames_are_stamped_between_texts(front: Front) -> None:
    serial = front.ask(
        "print('a', end=''); _pupitre.send(_pupitre.PUBLISH, 0, 1, [b'x', b'', b'', b'{}', b'{}']); print('b', end='')"
    )
    published, reply = front.receive(), front.reply(serial)
    front.drain()
    first, second = (record.end for record in front.records)
    assert (published.position, reply.position) == (first, second)


def test_a_full_ring_makes_the_writer_wait_and_loses_nothing(front: Front) -> None:
    serial = front.ask("for i in range(20000): print(i)")
    assert front.reply(serial).content["status"] == "ok"
    assert front.printed(serial) == "".join(f"{i}\n" for i in range(20000))


def test_a_text_larger_than_the_ring(front: Front) -> None:
    text = "a€𝄞" * 100_000
    serial = front.ask("sys.stdout.write('a€𝄞' * 100_000)")
    assert front.reply(serial).content["status"] == "ok"
    assert front.printed(serial) == text
    assert all(not record.text.startswith("\ufffd") for record in front.records)


def test_a_writer_that_waits_for_room_can_be_interrupted() -> None:
    with Front(drains=False) as front:
        front.start()
        serial = front.ask("while True: print('x' * 1000)")
        front.wait_word("activity", 1)
        deadline = time.monotonic() + 20
        while int.from_bytes(front.shared[4096:4104], "little") < RING_SIZE - 2000:
            assert time.monotonic() < deadline
        front.interrupt()
        assert front.reply(serial).content["ename"] == "KeyboardInterrupt"


def test_other_threads_run_while_a_writer_waits_for_room() -> None:
    with Front(drains=False) as front:
        front.start()
        code = """
import threading
def other():
    done.wait(0.2)
    _pupitre.send(_pupitre.PUBLISH, 0, 1, [b'x', b'', b'', b'{}', b'{}'])
done = threading.Event()
threading.Thread(target=other).start()
while not done.is_set(): print('x' * 1000)
"""
        serial = front.ask(code)
        assert front.receive().type == 19
        front.drains = True
        front.drain()
        front.interrupt()
        assert front.reply(serial).content["ename"] == "KeyboardInterrupt"


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("sys.stdout.write('xyz')", "3"),
        ("sys.stdout.write('')", "0"),
        ("sys.stdout.write('\\ud800')", "1"),
        ("sys.stdout.write(type('S', (str,), {})('sub'))", "3"),
        ("sys.stdout.writelines(['a', 'b'])", "None"),
        ("isinstance(sys.stdout, io.TextIOBase)", "True"),
        ("isinstance(sys.stdout, io.IOBase)", "True"),
        ("sys.stdout.closed, sys.stdout.slow, Output(2).slow", "(False, False, False)"),
    ],
)
def test_write(front: Front, expression: str, result: str) -> None:
    assert front.value(expression) == result


@pytest.mark.parametrize(
    ("code", "ename"),
    [
        ("sys.stdout.write(b'bytes')", "TypeError"),
        ("sys.stdout.write(1)", "TypeError"),
        ("sys.stdout.write()", "TypeError"),
        ("o = Output(1); o.close(); assert o.closed; o.write('x')", "ValueError"),
        ("Output(3)", "ValueError"),
        ("sys.stdout.read()", "UnsupportedOperation"),
        ("sys.stdout.put('1', 'x')", "TypeError"),
        ("sys.stdout.put(-1, 'x')", "OverflowError"),
    ],
)
def test_write_refuses(front: Front, code: str, ename: str) -> None:
    assert front.run(code)["ename"] == ename


def test_lone_surrogates_arrive(front: Front) -> None:
    serial = front.ask("print('\\ud800\\udc80')")
    front.reply(serial)
    assert front.printed(serial) == "\ud800\udc80\n"


def test_put_uses_the_serial_it_is_given(front: Front) -> None:
    front.run("sys.stdout.put(77, 'there')")
    assert front.printed(77) == "there"


def test_threads_print_under_the_default_parent_and_contexts_under_their_own(front: Front) -> None:
    first = front.ask("import contextvars; kept = contextvars.copy_context()")
    front.reply(first)
    code = """
import threading
t = threading.Thread(target=lambda: kept.run(print, 'context')); t.start(); t.join()
t = threading.Thread(target=print, args=('thread',), daemon=True); t.start(); t.join()
"""
    second = front.ask(code)
    front.reply(second)
    assert front.printed(first) == "context\n"
    assert front.printed(second) == "thread\n"


def test_slow_and_old_parents_go_through_write_slowly(front: Front) -> None:
    front.run("sys.stdout.slow = True; print('a', end=''); sys.stdout.slow = False")
    assert front.value("Output.slow_texts") == "[('a', 1)]"
    front.run("import contextvars; kept = contextvars.copy_context(); Output.slow_texts.clear()")
    serial = front.serial
    for _ in range(60):
        front.run("")
    front.run("kept.run(print, 'still', end='')")
    assert front.value("Output.slow_texts") == f"[('still', {serial})]"
    assert front.printed(serial) == ""


def test_large_parts_cross_whole(front: Front) -> None:
    code = (
        "_pupitre.send(_pupitre.PUBLISH, 0, 1, [b'x', b'', b'', b'{}', b'{}', bytes(30_000_000), memoryview(b'tail')])"
    )
    serial = front.ask(code)
    frame = front.receive()
    assert (len(frame.parts[5]), frame.parts[6]) == (30_000_000, b"tail")
    assert front.reply(serial).type == REPLY


def test_frames_of_many_threads_do_not_mix(front: Front) -> None:
    code = """
import threading
def many(n):
    for i in range(20): _pupitre.send(_pupitre.PUBLISH, 0, 1, [b'x', b'', b'', b'{}', b'{}', bytes([n]) * 500_000])
threads = [threading.Thread(target=many, args=(n,)) for n in range(4)]
for t in threads: t.start()
for t in threads: t.join()
"""
    serial = front.ask(code)
    for _ in range(80):
        part = front.receive().parts[5]
        assert len(part) == 500_000 and len(set(part)) == 1
    front.reply(serial)
