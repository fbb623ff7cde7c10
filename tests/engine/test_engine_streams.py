# SPDX-License-Identifier: BSD-3-Clause
"""spec K and E: sys.stdout and sys.stderr, and which cell text belongs to."""

import io
import json
import os
import threading
from io import UnsupportedOperation

import pytest
from fake import door
from harness import Engine
from pupitre import parent
from pupitre.streams import OutStream


def test_text_io(engine: Engine) -> None:
    out = engine.streams[0]
    assert (out.encoding, out.errors, out.name, out.closed) == ("UTF-8", None, "stdout", False)
    assert out.writable() and not out.readable() and not out.seekable() and not out.isatty()
    assert not hasattr(out, "buffer")
    assert isinstance(out, io.TextIOBase)
    assert out.write("abc") == 3
    out.writelines(["a", "b"])
    out.flush()
    out.reconfigure(encoding="latin-1")
    assert [text for _, _, text in door.texts] == ["abc", "a", "b"]


@pytest.mark.parametrize(
    "call", [OutStream.read, OutStream.readline, OutStream.detach, OutStream.tell, lambda stream: stream.seek(0)]
)
def test_unsupported(engine: Engine, call: object) -> None:
    with pytest.raises(UnsupportedOperation):
        call(engine.streams[0])  # type: ignore[operator]


def test_wrong_type_and_closed() -> None:
    stream = OutStream(1)
    with pytest.raises(TypeError):
        stream.write(b"x")  # type: ignore[arg-type]
    stream.close()
    for use in (lambda: stream.write("x"), stream.flush, stream.fileno):
        with pytest.raises(ValueError):
            use()


def test_fileno_is_a_real_descriptor(engine: Engine) -> None:
    assert os.fstat(engine.streams[1].fileno()) == os.fstat(2)
    assert engine.streams[1].fileno() == engine.streams[1].fileno()


def test_identity_lasts(engine: Engine) -> None:
    engine.ok("import sys; t_out = sys.stdout")
    assert engine.result("t_out is sys.stdout") == "True"


def test_hook(engine: Engine) -> None:
    out = engine.streams[0]
    seen = []

    def hook(message: dict[str, object]) -> dict[str, object] | None:
        seen.append(message["content"]["text"])  # type: ignore[index]
        if message["content"]["text"] == "secret":  # type: ignore[index]
            return None
        message["content"]["text"] = "<" + message["content"]["text"] + ">"  # type: ignore[index]
        return message

    out.register_hook(hook)
    engine.serial = 1
    try:
        assert (out.write("a"), out.write("secret")) == (1, 6)
        other = threading.Thread(target=out.write, args=("thread",))
        other.start()
        other.join()
    finally:
        assert out.unregister_hook(hook)
        assert not out.unregister_hook(hook)
    out.write("b")
    assert [text for _, _, text in door.texts] == ["<a>", "thread", "b"]
    assert seen == ["a", "secret"]


def test_thread_prints_for_the_newest_cell(engine: Engine) -> None:
    engine.ok(
        "import threading\nt_go, t_done = threading.Event(), threading.Event()\n"
        "def t_f():\n    t_go.wait(5); print('late'); t_done.set()\nthreading.Thread(target=t_f, daemon=True).start()"
    )
    answer = engine.ok("t_go.set(); t_done.wait(5); None")
    assert answer.text() == "late\n"
    assert {message.serial for message in answer.messages if message.type == "stream"} == {engine.serial}


def test_thread_parent(engine: Engine) -> None:
    engine.ok("t_parent = get_ipython().get_parent()")
    first = engine.serial
    answer = engine.ok(
        "import threading\ndef t_f():\n    token = get_ipython().set_thread_parent(t_parent)\n    print('then')\n"
        "    get_ipython().reset_thread_parent(token)\n    print('now')\n"
        "t_t = threading.Thread(target=t_f); t_t.start(); t_t.join()"
    )
    texts = [(message.serial, message.content["text"]) for message in answer.messages if message.type == "stream"]
    assert texts == [(first, "then"), (first, "\n"), (engine.serial, "now"), (engine.serial, "\n")]


def test_task_keeps_its_cell(engine: Engine) -> None:
    engine.ok(
        "import asyncio\nasync def t_f():\n    await asyncio.sleep(0.05); print('mine')\n"
        "t_task = asyncio.create_task(t_f())"
    )
    first = engine.serial
    answer = engine.ok("await t_task; print('yours')")
    texts = {message.content["text"].strip(): message.serial for message in answer.messages if message.type == "stream"}
    assert texts["mine"] == first and texts["yours"] == engine.serial


def test_old_parent_is_sent_with_the_message(engine: Engine) -> None:
    engine.ok("t_parent = get_ipython().get_parent()")
    for serial in range(2, 80):
        message = parent.Parent(parent.NOBODY)
        message.serial, message.raw, message.identity = serial, b"{}", []
        parent.make_newest(message)
    engine.serial = 80
    answer = engine.ok("get_ipython().set_parent(t_parent); print('old'); display(1)")
    old = [message for message in answer.messages if message.type in ("stream", "display_data")]
    assert [message.serial for message in old] == [1, 1, 1]
    assert all(json.loads(message.parent)["msg_id"] == "m1" for message in old)
    assert old[0].topic == b"stream.stdout"


def test_foreign_parent(engine: Engine) -> None:
    try:
        answer = engine.ok("get_ipython().set_parent({'header': {'msg_id': 'elsewhere'}}); print('x')")
    finally:
        engine.streams[0].slow = engine.streams[1].slow = False
    assert json.loads(answer.messages[1].parent) == {"msg_id": "elsewhere"}
    assert engine.ok("print('y')").messages[1].parent == b""


def test_parent_api(engine: Engine) -> None:
    engine.ok(
        "t_ip = get_ipython(); t_k = t_ip.kernel\n"
        "t_r = [t_k.get_parent()['header']['msg_id'], t_k.get_parent('shell')['msg_type'], "
        "t_k._parent_header['header']['extra'],"
        " t_ip.parent_header['header']['msg_id'], t_k._parent_ident['shell'], t_k.get_parent('control')['header']]"
    )
    name = f"m{engine.serial}"
    assert engine.shell.user_ns["t_r"] == [name, "execute_request", 1, name, [b"identity"], {}]


def test_logging_and_warnings_keep_working(engine: Engine) -> None:
    engine.ok(
        "import logging; t_h = logging.StreamHandler(); t_l = logging.getLogger('t_l'); "
        "t_l.addHandler(t_h); t_l.propagate = False"
    )
    assert engine.ok("t_l.error('later')").text("stderr") == "later\n"


def test_forked_child_publishes_nothing(engine: Engine) -> None:
    door.child = True
    try:
        engine.shell.display_pub.publish({"text/plain": "x"})
    finally:
        door.child = False
    assert door.sent == []
