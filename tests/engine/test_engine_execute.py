# SPDX-License-Identifier: BSD-3-Clause
"""spec F: execute_request and execute_reply."""

import json
import re
from typing import Any

import pytest
from fake import door
from harness import Engine
from pupitre import execute


def test_result_and_order(engine: Engine) -> None:
    answer = engine.ok("print('a'); 1 + 1")
    assert answer.kinds == ["execute_input", "stdout", "execute_result"]
    assert answer.text() == "a\n"
    result = answer.one("execute_result")
    assert result["data"] == {"text/plain": "2"}
    assert result["execution_count"] == answer.reply["execution_count"]
    assert set(answer.reply) == {"status", "execution_count", "user_expressions", "payload"}
    assert answer.flags == 0


def test_reply_metadata(engine: Engine) -> None:
    metadata = engine.ok("pass").metadata
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", metadata["started"])
    assert metadata["status"] == "ok" and metadata["dependencies_met"] is True and metadata["engine"] == "uuid"


@pytest.mark.parametrize(
    ("content", "shown", "replied"),
    [
        ({"code": "pass"}, 1, 1),
        ({"code": ""}, 1, 0),
        ({"code": "  \n"}, 1, 0),
        ({"code": "pass", "store_history": False}, 1, 0),
        ({"code": "pass", "silent": True}, None, 0),
        ({"code": "pass", "silent": True, "store_history": True}, None, 0),
    ],
)
def test_execution_count(engine: Engine, content: dict[str, object], shown: int | None, replied: int) -> None:
    before = engine.shell.execution_count - 1
    answer = engine.request("execute_request", content)
    inputs = answer.all("execute_input")
    assert [one["execution_count"] for one in inputs] == ([] if shown is None else [before + shown])
    assert answer.reply["execution_count"] == before + replied


def test_silent_still_shows_streams_display_and_errors(engine: Engine) -> None:
    answer = engine.execute("print('s'); display(1); 5\n1/0", silent=True)
    assert answer.kinds == ["stdout", "display_data", "error"]
    assert answer.reply["status"] == "error"
    assert not answer.flags & door.ABORT_QUEUE


def test_error(engine: Engine) -> None:
    answer = engine.execute("1/0")
    error = answer.one("error")
    assert error["ename"] == "ZeroDivisionError" and error["evalue"] == "division by zero"
    assert any("Cell" in line and "line 1" in re.sub(r"\x1b\[[\d;]*m", "", line) for line in error["traceback"])
    for key in ("ename", "evalue", "traceback"):
        assert answer.reply[key] == error[key]
    assert answer.reply["user_expressions"] == {} and answer.reply["payload"] == []
    assert answer.reply["engine_info"]["method"] == "execute"
    assert answer.flags == door.ABORT_QUEUE


def test_stop_on_error_false_does_not_abort(engine: Engine) -> None:
    assert engine.execute("1/0", stop_on_error=False).flags == 0


def test_payload_is_delivered_with_an_error_and_cleared(engine: Engine) -> None:
    answer = engine.execute("get_ipython().set_next_input('x'); 1/0")
    assert answer.reply["payload"] == [{"source": "set_next_input", "text": "x", "replace": False}]
    assert engine.ok("pass").reply["payload"] == []


def test_a_payload_that_is_no_json_is_an_error_reply(engine: Engine) -> None:
    answer = engine.execute("get_ipython().payload_manager.write_payload({'source': 'x', 'data': object()})")
    assert answer.reply["status"] == "error" and answer.reply["ename"] == "TypeError"


def test_user_expressions(engine: Engine) -> None:
    answer = engine.ok("t_x = 3", user_expressions={"a": "t_x + 1", "b": "1/0", "c": "import os"})
    expressions = answer.reply["user_expressions"]
    assert expressions["a"]["data"] == {"text/plain": "4"} and expressions["a"]["status"] == "ok"
    assert expressions["b"]["ename"] == "ZeroDivisionError"
    assert expressions["c"]["ename"] == "SyntaxError"


def test_user_expressions_of_a_blank_cell(engine: Engine) -> None:
    assert engine.ok("", user_expressions={"a": "6*7"}).reply["user_expressions"]["a"]["data"]["text/plain"] == "42"


def test_user_expressions_after_an_error_are_not_evaluated(engine: Engine) -> None:
    assert engine.execute("1/0", user_expressions={"a": "1"}).reply["user_expressions"] == {}


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ({}, "ValueError"),
        ({"code": 3}, "ValueError"),
        ({"code": None}, "ValueError"),
        ({"code": "1", "user_expressions": [1]}, "ValueError"),
    ],
)
def test_bad_request_gets_an_error_reply(engine: Engine, content: dict[str, object], name: str) -> None:
    answer = engine.request("execute_request", content)
    assert answer.reply["status"] == "error" and answer.reply["ename"] == name
    assert answer.kinds == ["error"] and answer.reply == {"status": "error", **answer.one("error")}


def test_metadata_null_is_none_at_all(engine: Engine) -> None:
    engine.serial = 1
    door.put((door.REQUEST, 0, 1, [b"execute_request", b'{"msg_id":"1"}', b"{}", b"null", b'{"code":"7"}', b"id"]))
    engine.run_until(lambda frame: frame[0] == door.REPLY)
    assert engine.collect(0, 1).reply["status"] == "ok"


def test_half_an_emoji_in_the_code(engine: Engine) -> None:
    engine.serial = 1
    content = b'{"code":"print(\'\\ud83d\')"}'
    door.put((door.REQUEST, 0, 1, [b"execute_request", b'{"msg_id":"1"}', b"{}", b"{}", content, b"id"]))
    engine.run_until(lambda frame: frame[0] == door.REPLY)
    assert engine.collect(0, 1).reply["status"] in ("ok", "error")
    assert engine.result("1") == "1"


def test_usage_error_is_text_and_no_error_message(engine: Engine) -> None:
    answer = engine.execute("%nosuchmagic")
    assert answer.kinds == ["execute_input", "stderr"]
    assert answer.text("stderr").startswith("UsageError: ")
    assert answer.reply["ename"] == "UsageError" and answer.reply["traceback"] == []


def test_bdbquit_is_an_error_reply_only(engine: Engine) -> None:
    answer = engine.execute("import bdb; raise bdb.BdbQuit")
    assert answer.all("error") == [] and answer.reply["ename"] == "BdbQuit" and answer.reply["traceback"] == []


def test_sys_exit_does_not_end_the_kernel(engine: Engine) -> None:
    with pytest.warns(UserWarning, match="To exit"):
        answer = engine.execute("import sys; sys.exit(3)")
    assert answer.one("error")["ename"] == "SystemExit" and len(answer.reply["traceback"]) == 2
    assert not engine.loop.exiting


@pytest.mark.parametrize("name", ["KeyboardInterrupt", "GeneratorExit", "BaseException", "MemoryError"])
def test_any_exception_is_an_error(engine: Engine, name: str) -> None:
    answer = engine.execute(f"raise {name}")
    assert answer.one("error")["ename"] == name == answer.reply["ename"]


def test_exception_group_is_an_error_message(engine: Engine) -> None:
    answer = engine.execute("raise ExceptionGroup('several', [ValueError(1), KeyError(2)])")
    text = "\n".join(answer.one("error")["traceback"])
    assert "ValueError: 1" in text and "KeyError: 2" in text and "interactiveshell" not in text
    assert answer.reply["ename"] == "ExceptionGroup"


def test_syntax_error_names_the_cell(engine: Engine) -> None:
    answer = engine.execute("1 +")
    assert re.fullmatch(r"invalid syntax \(\d+\.py, line 1\)", answer.one("error")["evalue"])
    assert answer.reply["ename"] == "SyntaxError"


def test_error_of_repr_fails_the_cell(engine: Engine) -> None:
    answer = engine.execute("class t_A:\n    def __repr__(self): raise ValueError('no')\nt_A()")
    assert answer.one("error")["ename"] == "ValueError"
    assert answer.all("execute_result") == []
    assert answer.reply["ename"] == "ValueError" and answer.reply["evalue"] == "no"
    assert engine.ok("await __import__('asyncio').sleep(0)").all("error") == []


def test_exception_whose_str_raises(engine: Engine) -> None:
    answer = engine.execute("class t_E(Exception):\n    def __str__(self): raise RuntimeError('never')\nraise t_E()")
    assert answer.reply["ename"] == "t_E"
    assert engine.result("2") == "2"


def test_showtraceback_by_the_user_keeps_the_reply_ok(engine: Engine) -> None:
    answer = engine.ok("try:\n    1/0\nexcept Exception: get_ipython().showtraceback()")
    assert answer.one("error")["ename"] == "ZeroDivisionError"


def test_semicolon(engine: Engine) -> None:
    assert engine.ok("3;").all("execute_result") == []
    assert engine.ok("3; # why").all("execute_result") == []
    assert engine.result("'a;b'") == "'a;b'"
    assert engine.result("7", store_history=False) == "7"
    assert engine.ok("7;", store_history=False).all("execute_result") == []


def test_underscores_and_histories(engine: Engine) -> None:
    engine.ok("41")
    count = engine.ok("_ + 1").reply["execution_count"]
    assert engine.result(f"_{count}, Out[{count}], In[-2], _i{count}") == "(42, 42, '_ + 1', '_ + 1')"


def test_events_and_cell_id(engine: Engine) -> None:
    seen: list[object] = []
    events = engine.shell.events

    def before(info: object) -> None:
        seen.append(info.cell_id)  # type: ignore[attr-defined]

    def after(result: object) -> None:
        seen.append(result.success)  # type: ignore[attr-defined]

    events.register("pre_run_cell", before)
    events.register("post_run_cell", after)
    try:
        engine.execute("pass", metadata={"cellId": "abc"})
        engine.execute("await __import__('asyncio').sleep(0)", metadata={"cellId": "xyz"})
        engine.execute("1/0")
        engine.execute("pass", silent=True)
    finally:
        events.unregister("pre_run_cell", before)
        events.unregister("post_run_cell", after)
    assert seen == ["abc", True, "xyz", True, None, False]


def test_context_variables_last(engine: Engine) -> None:
    engine.ok("import contextvars; t_v = contextvars.ContextVar('t_v', default=0); t_v.set(1)")
    assert engine.result("t_v.get()") == "1"
    engine.ok("t_v.set(2); await __import__('asyncio').sleep(0)")
    assert engine.result("t_v.get()") == "1"


def test_interrupt_that_escapes_ipython_is_an_error(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(type(engine.shell), "run_cell", interrupted)
    answer = engine.execute("pass")
    assert answer.one("error")["ename"] == "KeyboardInterrupt" == answer.reply["ename"]
    assert answer.flags & door.ABORT_QUEUE


def test_interrupted_bookkeeping_is_put_right(engine: Engine) -> None:
    engine.ok("get_ipython().builtin_trap.__enter__(); get_ipython().display_trap.__enter__(); None")
    assert engine.shell.builtin_trap._nested_level == 0 and engine.shell.display_trap._nested_level == 0
    assert engine.result("5") == "5"


def test_handler_that_raises_is_answered(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(message: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setitem(engine.kernel._serve, "execute_request", broken)
    answer = engine.execute("pass")
    shown = {"ename": "RuntimeError", "evalue": "broken", "traceback": ["RuntimeError: broken"]}
    assert answer.kinds == ["error"] and answer.one("error") == shown and answer.reply == {"status": "error", **shown}


def test_unknown_requests(engine: Engine) -> None:
    answer = engine.request("frobnicate_request")
    assert answer.reply["status"] == "error" and "frobnicate_request" in answer.reply["evalue"]
    assert engine.request("frobnicate").reply == {}


def test_custom_handlers(engine: Engine) -> None:
    calls = []

    async def later(stream: object, ident: object, message: dict[str, object]) -> None:
        calls.append(message["content"])

    stock = engine.kernel.shell_handlers["comm_msg"]
    engine.kernel.shell_handlers["comm_msg"] = later
    engine.kernel.shell_handlers["shout"] = lambda stream, ident, message: calls.append(ident)
    try:
        engine.request("comm_msg", {"comm_id": "x"})
        engine.request("shout")
    finally:
        engine.kernel.shell_handlers["comm_msg"] = stock
        del engine.kernel.shell_handlers["shout"]
    assert calls == [{"comm_id": "x"}, [b"identity"]]


def test_what_was_mended_is_said(engine: Engine) -> None:
    door.repaired = ["builtins.len"]
    assert "builtins.len" in engine.ok("pass").text("stderr")
    assert engine.ok("pass").text("stderr") == ""


def test_exit_says_bye_before_the_reply(engine: Engine) -> None:
    """Else the front would pass on the next request."""
    engine.execute("exit()")
    kinds = [frame[0] for frame in door.sent]
    assert kinds.index(door.BYE) < kinds.index(door.REPLY)
    reply = json.loads(next(frame for frame in door.sent if frame[0] == door.REPLY)[3][1])
    assert reply["payload"] == [{"source": "ask_exit", "keepkernel": False}]
    assert engine.loop.exiting
    engine.loop.exiting = False
    engine.shell.exit_now = False


def test_exit_keep_kernel(engine: Engine) -> None:
    answer = engine.execute("exit(keep_kernel=True)")
    assert answer.reply["payload"] == [{"source": "ask_exit", "keepkernel": True}]
    assert not engine.loop.exiting


@pytest.mark.parametrize("code", ["1", "1/0", "import asyncio\nawait asyncio.sleep(0)"])
@pytest.mark.parametrize("name", ["reply", "Checkup.look", "Checkup.report"])
def test_a_kernel_that_failed_at_a_cell_is_not_busy(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, code: str, name: str
) -> None:
    """Whatever of ours fails: the request is answered, and the next one finds no cell running."""

    def fail(*_: Any, **__: Any) -> None:
        monkeypatch.undo()
        raise RuntimeError("ours")

    place: Any = execute
    *owners, last = name.split(".")
    for owner in owners:
        place = getattr(place, owner)
    monkeypatch.setattr(place, last, fail)
    answer = engine.execute(code)
    assert answer.reply["status"] == "error" and answer.reply["evalue"] == "ours"
    assert not engine.kernel.is_busy and engine.loop.cell_task is None and door.pending == (0, 0)
    assert engine.result("5") == "5"
