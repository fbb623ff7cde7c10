# SPDX-License-Identifier: BSD-3-Clause
"""spec G: complete, inspect, is_complete and history requests."""

import re
from typing import Any

import pytest
from harness import Answer, Engine


def complete(engine: Engine, code: str, **content: object) -> Answer:
    return engine.request("complete_request", {"code": code, **content})


def test_complete(engine: Engine) -> None:
    engine.ok("t_variable = 1")
    reply = complete(engine, "t_varia", cursor_pos=7).reply
    assert reply["matches"] == ["t_variable"] and (reply["cursor_start"], reply["cursor_end"]) == (0, 7)
    one = reply["metadata"]["_jupyter_types_experimental"][0]
    assert set(one) == {"start", "end", "text", "type", "signature"} and one["text"] == "t_variable" and one["type"]


@pytest.mark.parametrize(
    ("extra", "ends"), [({}, 4), ({"cursor_pos": None}, 4), ({"cursor_pos": 99}, 4), ({"cursor_pos": -5}, 0)]
)
def test_cursor_absent_null_or_outside(engine: Engine, extra: dict[str, object], ends: int) -> None:
    reply = complete(engine, "prin", **extra).reply
    assert reply["status"] == "ok" and reply["cursor_end"] == ends


def test_cursor_counts_code_points(engine: Engine) -> None:
    reply = complete(engine, "'😀'; prin", cursor_pos=9).reply
    assert "print" in reply["matches"] and (reply["cursor_start"], reply["cursor_end"]) == (5, 9)


def test_nothing_to_complete(engine: Engine) -> None:
    reply = complete(engine, "x = nosuchname_zz", cursor_pos=17).reply
    assert reply["matches"] == [] and reply["cursor_start"] == reply["cursor_end"] == 17


def test_complete_magics_and_keys_without_jedi(engine: Engine) -> None:
    saved = engine.shell.Completer.use_jedi
    engine.shell.Completer.use_jedi = False
    try:
        assert "%timeit" in complete(engine, "%timei").reply["matches"]
        engine.ok("t_d = {'alpha': 1}")
        reply = complete(engine, "t_d['al").reply
        assert any("alpha" in match for match in reply["matches"])
        assert reply["metadata"]["_jupyter_types_experimental"][0]["type"] == "dict key"
    finally:
        engine.shell.Completer.use_jedi = saved


def test_without_types(engine: Engine) -> None:
    engine.ok("t_variable = 1")
    engine.kernel.introspection.with_types = False
    try:
        reply = complete(engine, "x = 1\nt_varia", cursor_pos=13).reply
    finally:
        engine.kernel.introspection.with_types = True
    assert reply["matches"] == ["t_variable"] and (reply["cursor_start"], reply["cursor_end"]) == (6, 13)
    assert reply["metadata"] == {}


@pytest.mark.parametrize("content", [{}, {"code": 1}, {"code": "a", "cursor_pos": "x"}])
@pytest.mark.parametrize("name", ["complete_request", "inspect_request"])
def test_bad_requests_get_error_replies(engine: Engine, name: str, content: dict[str, object]) -> None:
    answer = engine.request(name, content)
    assert answer.reply["status"] == "error" and answer.reply["ename"] == "ValueError"


def test_completer_that_fails_is_answered(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(type(engine.shell.Completer), "completions", broken)
    assert complete(engine, "a").reply["ename"] == "KeyboardInterrupt"


def inspect(engine: Engine, code: str, **content: object) -> Any:
    reply = engine.request("inspect_request", {"code": code, "cursor_pos": len(code), **content}).reply
    assert reply["found"] is True and reply["status"] == "ok" and reply["metadata"] == {}
    assert "text/html" not in reply["data"]
    return re.sub(r"\x1b\[[\d;]*m", "", reply["data"]["text/plain"])


def test_inspect(engine: Engine) -> None:
    engine.ok("def t_f(a, b=1):\n    'What it does.'")
    assert "What it does." in inspect(engine, "t_f(1, ", detail_level=0)
    assert "What it does." not in inspect(engine, "t_f", omit_sections=["docstring"])
    assert "def t_f(a, b=1):" in inspect(engine, "t_f", detail_level=1)


@pytest.mark.parametrize("code", ["nosuchname", "", "   "])
def test_inspect_not_found(engine: Engine, code: str) -> None:
    reply = engine.request("inspect_request", {"code": code, "cursor_pos": len(code)}).reply
    assert reply == {"status": "ok", "found": False, "data": {}, "metadata": {}}


@pytest.mark.parametrize(
    ("code", "status", "indent"),
    [
        ("", "complete", None),
        ("1 + 1", "complete", None),
        ("for i in x:", "incomplete", "    "),
        ("def f(x):\n  x*2", "incomplete", "  "),
        ("a = (", "incomplete", ""),
        ("%%time\nx\n", "incomplete", ""),
        ("%%timeit\na\n\n", "complete", None),
        ("raise = 2", "invalid", None),
    ],
)
def test_is_complete(engine: Engine, code: str, status: str, indent: str | None) -> None:
    reply = engine.request("is_complete_request", {"code": code}).reply
    expected = {"status": status} if indent is None else {"status": status, "indent": indent}
    assert reply == expected


def history(engine: Engine, **content: object) -> list[list[object]]:
    answer = engine.request("history_request", content)
    assert answer.reply["status"] == "ok", answer.reply
    rows: list[list[object]] = answer.reply["history"]
    return rows


def test_history(engine: Engine) -> None:
    engine.ok("t_one = 'first entry'")
    engine.ok("t_two = '%s second'")
    count = len(engine.shell.history_manager.input_hist_raw) - 1  # exit() has a number but no entry
    tail = history(engine, hist_access_type="tail", n=2)
    assert [row[2] for row in tail] == ["t_one = 'first entry'", "t_two = '%s second'"]
    assert tail[0][0] == engine.shell.history_manager.session_number > 0 and tail[1][1] > tail[0][1]
    ranged = history(engine, hist_access_type="range", session=0, start=count - 1, stop=count)
    assert ranged == [[0, count - 1, "t_one = 'first entry'"]]
    number = engine.shell.history_manager.session_number
    assert history(engine, hist_access_type="range", session=number, start=count, stop=None)[0][:2] == [number, count]
    assert history(engine, hist_access_type="range", session=0, start=count, stop=None)[0][2] == "t_two = '%s second'"
    assert [row[2] for row in history(engine, hist_access_type="search", pattern="t_one*entry?")] == [
        "t_one = 'first entry'"
    ]
    assert history(engine, hist_access_type="bogus") == []


def test_history_with_output_and_transformed(engine: Engine) -> None:
    engine.ok("!true")
    count = len(engine.shell.history_manager.input_hist_raw) - 1
    rows = history(engine, hist_access_type="range", session=0, start=count, stop=None, raw=False)
    assert "get_ipython().system" in str(rows[0][2])
    engine.shell.history_manager.reset()
    engine.shell.execution_count = 1
    engine.ok("6 * 7")
    rows = history(engine, hist_access_type="range", session=0, start=1, stop=None, output=True)
    assert rows == [[0, 1, ["6 * 7", "42"]]]
    assert len(history(engine, hist_access_type="tail", n=1)) == 1
    assert history(engine, hist_access_type="search", pattern="6 *", unique=True, n=3, key="ignored")


def test_bad_history_request(engine: Engine) -> None:
    before = sorted(engine.home.rglob("history*"))
    for content in ({"hist_access_type": "tail", "n": "many"}, {"hist_access_type": "range", "session": "x"}):
        assert engine.request("history_request", content).reply["status"] == "error"
    assert sorted(engine.home.rglob("history*")) == before, "the user's database was moved aside"


def test_config_finds_the_completer(engine: Engine) -> None:
    assert "IPCompleter" in engine.ok("%config").text()
    engine.ok("%config IPCompleter.use_jedi = True")
    assert engine.execute("get_ipython().no_such_thing").reply["ename"] == "AttributeError"
