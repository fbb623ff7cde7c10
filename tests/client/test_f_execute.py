# SPDX-License-Identifier: BSD-3-Clause
"""Specification table, section F: execute_request and execute_reply."""

import re
from datetime import datetime
from typing import Any

import pytest
from launch import Kernel
from raw import Client, block, murmur2


def test_f_reply_ok_has_all_four_keys(client: Client) -> None:
    content = client.ok("a = 1").content
    assert set(content) >= {"status", "execution_count", "user_expressions", "payload"}
    assert content["user_expressions"] == {} and content["payload"] == []


def test_f_defaults_store_and_stop(client: Client) -> None:
    """Only `code` is required: counted, not silent, no stdin."""
    before = client.ok("0").count
    result = client.request("execute_request", {"code": "input('x')"})
    assert result.content["status"] == "error"
    assert result.content["ename"] == "StdinNotImplementedError"
    assert result.count == before + 1


def test_f_execute_input_names_code_and_next_number(client: Client) -> None:
    before = client.ok("0").count
    result = client.ok("x = 'é𝄞'\nx")
    assert result.messages[0].type == "execute_input"
    assert result.messages[0].content == {"code": "x = 'é𝄞'\nx", "execution_count": before + 1}


def test_f_order_of_messages(client: Client) -> None:
    result = client.ok("print('out'); 5")
    assert result.types() == ["execute_input", "stdout", "execute_result"]
    assert result.stdout == "out\n" and result.text == "5"
    assert result.one("execute_result").content["execution_count"] == result.count


def test_f_execution_count_rules(client: Client) -> None:
    n = client.ok("0").count
    blank = client.ok("")
    assert blank.one("execute_input").content["execution_count"] == n + 1
    assert blank.count == n
    assert client.ok("  \n\t\n").count == n
    unstored = client.ok("1", store_history=False)
    assert unstored.one("execute_input").content["execution_count"] == n + 1
    assert unstored.count == n
    assert client.ok("1", silent=True).count == n
    assert client.ok("2").count == n + 1


def test_f_first_silent_reply_counts_zero(fresh: Client) -> None:
    assert fresh.ok("1", silent=True).count == 0
    assert fresh.ok("").count == 0
    assert fresh.ok("1").count == 1


def test_f_failed_cells_count(client: Client) -> None:
    n = client.ok("0").count
    assert client.run("1/0").count == n + 1
    assert client.run("(").count == n + 2
    assert client.ok("0").count == n + 3


def test_f_silent_publishes_streams_and_displays_only(client: Client) -> None:
    code = "import sys; print('o'); print('e', file=sys.stderr); display(3); 4"
    result = client.ok(code, silent=True)
    assert set(result.types()) == {"stdout", "stderr", "display_data"}
    assert result.stdout == "o\n" and result.stderr == "e\n"


def test_f_silent_error_is_published(client: Client) -> None:
    result = client.run("1/0", silent=True)
    assert result.status == "error"
    assert result.types() == ["error"]


def test_f_silent_stores_nothing(client: Client) -> None:
    client.ok("7")
    before = client.evaluate("len(In)")
    client.ok("8", silent=True)
    assert client.evaluate("len(In)") == before
    assert client.evaluate("_") == 7


def test_f_silent_fires_no_run_cell_events(client: Client) -> None:
    client.ok(
        "seen = []\ndef note(*a): seen.append('pre_run_cell')\nget_ipython().events.register('pre_run_cell', note)"
    )
    client.ok("1", silent=True)
    assert client.evaluate("seen") == []
    client.ok("get_ipython().events.unregister('pre_run_cell', note)")
    assert client.evaluate("seen") == ["pre_run_cell"]


def test_f_store_history_false_keeps_out_but_not_in(client: Client) -> None:
    before = client.evaluate("len(In)")
    client.ok("'unstored'", store_history=False)
    assert client.evaluate("len(In)") == before
    assert client.evaluate("_") == "unstored"
    assert "unstored" in client.evaluate("list(map(str, Out.values()))")


def test_f_store_history_false_semicolon_looks_at_this_cell(client: Client) -> None:
    """BUG in IPython: the test looks at the previous stored cell."""
    client.ok("1;")
    assert client.ok("2", store_history=False).types() == ["execute_input", "execute_result"]
    client.ok("3")
    assert client.ok("4;", store_history=False).types() == ["execute_input"]


def test_f_user_expressions(client: Client) -> None:
    result = client.ok("a = 6", user_expressions={"ok": "a * 7", "bad": "1/0", "syntax": "import os"})
    values = result.content["user_expressions"]
    assert values["ok"] == {"status": "ok", "data": {"text/plain": "42"}, "metadata": {}}
    assert values["bad"]["status"] == "error" and values["bad"]["ename"] == "ZeroDivisionError"
    assert values["bad"]["evalue"] == "division by zero" and values["bad"]["traceback"]
    assert values["syntax"]["ename"] == "SyntaxError"


def test_f_user_expressions_of_blank_code(client: Client) -> None:
    assert client.ok("", user_expressions={"x": "2"}).content["user_expressions"]["x"]["data"]["text/plain"] == "2"


def test_f_user_expressions_empty_after_error(client: Client) -> None:
    assert client.run("1/0", user_expressions={"x": "2"}).content["user_expressions"] == {}


def test_f_user_expressions_that_interrupt_or_exit(client: Client) -> None:
    values = client.ok("", user_expressions={"k": "[].__class__.nope", "e": "exec('raise KeyboardInterrupt')"})
    names = {key: value["ename"] for key, value in values.content["user_expressions"].items()}
    assert names == {"k": "AttributeError", "e": "KeyboardInterrupt"}


def test_f_reply_error(client: Client) -> None:
    result = client.run("print('before')\n1/0")
    assert result.types() == ["execute_input", "stdout", "error"]
    content = result.content
    assert content["ename"] == "ZeroDivisionError" and content["evalue"] == "division by zero"
    assert content["user_expressions"] == {} and "payload" in content and content["execution_count"] > 0
    for key in ("ename", "evalue", "traceback"):
        assert content[key] == result.error[key]


def test_f_error_delivers_payload_once(client: Client) -> None:
    result = client.run("get_ipython().set_next_input('again')\n1/0")
    assert [p["source"] for p in result.content["payload"]] == ["set_next_input"]
    assert client.ok("1").content["payload"] == []


def test_f_reply_metadata_started(client: Client) -> None:
    result = client.ok("import time; time.sleep(0.05)")
    started = datetime.fromisoformat(result.reply.metadata["started"].replace("Z", "+00:00"))
    finished = datetime.fromisoformat(result.reply.header["date"].replace("Z", "+00:00"))
    begun = datetime.fromisoformat(result.busy.header["date"].replace("Z", "+00:00"))
    assert started.tzinfo is not None
    assert 0.04 < (finished - started).total_seconds() < 5
    assert abs((started - begun).total_seconds()) < 1
    assert result.reply.metadata["status"] == "ok"
    assert result.reply.metadata["dependencies_met"] is True
    assert client.run("1/0").reply.metadata["status"] == "error"


def test_f_showtraceback_by_user_leaves_reply_ok(client: Client) -> None:
    result = client.ok("try:\n    1/0\nexcept Exception:\n    get_ipython().showtraceback()\n5")
    assert result.types() == ["execute_input", "error", "execute_result"]


def test_f_error_in_repr(client: Client) -> None:
    """BUG in ipykernel: the name is NoneType."""
    result = client.run("class Bad:\n    def __repr__(self): raise ValueError('no repr')\nBad()")
    assert result.status == "error"
    assert result.content["ename"] == "ValueError" and result.content["evalue"] == "no repr"
    assert result.types() == ["execute_input", "error"]


def test_f_failure_of_a_result_is_forgotten(client: Client) -> None:
    """BUG in ipykernel: the next await cell fails, too."""
    client.run("class Bad:\n    def __repr__(self): raise ValueError\nBad()")
    assert client.run("import asyncio; await asyncio.sleep(0); 5").text == "5"
    assert client.ok("6").text == "6"


def test_f_usage_error(client: Client) -> None:
    result = client.run("%nosuchmagic")
    assert result.status == "error" and result.types() == ["execute_input", "stderr"]
    assert "UsageError" in result.stderr and "nosuchmagic" in result.stderr
    assert result.content["ename"] == "UsageError" and result.content["traceback"] == []


@pytest.mark.parametrize("code", ["raise SystemExit(3)", "import sys; sys.exit('bye')"])
def test_f_system_exit(client: Client, code: str) -> None:
    result = client.run(code)
    assert result.content["ename"] == "SystemExit"
    assert len(result.one("error").content["traceback"]) <= 3
    assert client.ok("1").text == "1"


def test_f_system_exit_says_how_to_exit(fresh: Client) -> None:
    assert "To exit" in fresh.run("raise SystemExit").stderr


def test_f_bdb_quit(client: Client) -> None:
    result = client.run("import bdb; raise bdb.BdbQuit")
    assert result.content["ename"] == "BdbQuit" and result.content["traceback"] == []
    assert result.types() == ["execute_input"]


def test_f_keyboard_interrupt(client: Client) -> None:
    result = client.run("raise KeyboardInterrupt")
    assert result.content["ename"] == "KeyboardInterrupt" == result.error["ename"]


def test_f_exception_group(client: Client) -> None:
    result = client.run("raise ExceptionGroup('both', [ValueError('first'), KeyError('second')])")
    assert result.content["ename"] == "ExceptionGroup"
    shown = result.stderr + "".join("".join(m.content["traceback"]) for m in result.all("error"))
    assert "both" in shown and "first" in shown and "second" in shown


def test_f_base_exception(client: Client) -> None:
    result = client.run("class Odd(BaseException): pass\nraise Odd('odd')")
    assert result.content["ename"] == "Odd" == result.error["ename"]
    assert client.ok("1").text == "1"


@pytest.mark.parametrize("code", ["1 +", "def f(:", "x = = 2", "  indented\nnot"])
def test_f_syntax_error(client: Client, code: str) -> None:
    result = client.run(code)
    assert result.content["ename"] in ("SyntaxError", "IndentationError")
    assert result.error["ename"] == result.content["ename"]
    assert ", line " in result.error["evalue"]
    assert "Cell In[" in result.traceback


def test_f_deep_recursion(client: Client) -> None:
    assert client.run("def f(): f()\nf()").content["ename"] == "RecursionError"
    assert client.ok("1").text == "1"


def test_f_abort_of_what_is_queued(fresh: Client) -> None:
    """Each gets busy, an aborted reply without a count, idle; no execute_input. Later requests run."""
    first = fresh.execute("import time; time.sleep(0.3); 1/0")
    queued = [fresh.execute(f"print({n})") for n in range(5)]
    assert fresh.collect(first).status == "error"
    for msg_id in queued:
        result = fresh.collect(msg_id)
        assert result.content == {"status": "aborted"}
        assert result.reply.metadata["status"] == "aborted"
        assert result.messages == []
    assert fresh.ok("print('runs')").stdout == "runs\n"


def test_f_abort_window_covers_all_clients(fresh: Client, kernel: Kernel) -> None:
    others = [kernel.client() for _ in range(2)]
    first = fresh.begin("import time; print('ready'); time.sleep(0.3); 1/0")
    queued = [(client, client.execute("1")) for client in [*others, fresh, *others]]
    assert fresh.collect(first, begun=True).status == "error"
    for client, msg_id in queued:
        assert client.collect(msg_id).content == {"status": "aborted"}


def test_f_abort_spares_other_requests(fresh: Client) -> None:
    first = fresh.execute("import time; time.sleep(0.3); 1/0")
    info = fresh.send("kernel_info_request")
    aborted = fresh.execute("1")
    inspected = fresh.send("inspect_request", {"code": "print", "cursor_pos": 5})
    comms = fresh.send("comm_info_request")
    silent = fresh.execute("1", silent=True)
    assert fresh.collect(first).status == "error"
    assert fresh.collect(info).status == "ok"
    assert fresh.collect(aborted).status == "aborted"
    assert fresh.collect(inspected).content["found"] is True
    assert fresh.collect(comms).status == "ok"
    assert fresh.collect(silent).status == "aborted"


@pytest.mark.parametrize("content", [{"stop_on_error": False}, {"silent": True}], ids=["stop_on_error=False", "silent"])
def test_f_abort_not_asked_for(fresh: Client, content: dict[str, Any]) -> None:
    first = fresh.execute("import time; time.sleep(0.2); 1/0", **content)
    second = fresh.execute("2")
    assert fresh.collect(first).status == "error"
    assert fresh.collect(second).text == "2"


def test_f_abort_after_interrupted_cell(kernel: Kernel, fresh: Client) -> None:
    first = fresh.begin("import time; print('ready'); time.sleep(60)")
    second = fresh.execute("2")
    fresh.sync()
    kernel.interrupt()
    assert fresh.collect(first, begun=True).content["ename"] == "KeyboardInterrupt"
    assert fresh.collect(second).status == "aborted"


def test_f_replies_come_in_order(client: Client) -> None:
    ids = [client.execute(f"{n}") for n in range(20)]
    results = [client.collect(msg_id) for msg_id in ids]
    assert [int(result.text) for result in results] == list(range(20))
    counts = [result.count for result in results]
    assert counts == list(range(counts[0], counts[0] + 20))
    assert [r.reply.received for r in results] == sorted(r.reply.received for r in results)


def test_f_cell_id_reaches_events(client: Client) -> None:
    client.ok(
        block("""
        def note(info): ids.append(info.cell_id)
        ids = []; get_ipython().events.register('pre_run_cell', note)
    """)
    )
    client.ok("1", metadata={"cellId": "cell-17"})
    client.ok("get_ipython().events.unregister('pre_run_cell', note)")
    assert client.evaluate("ids")[0] == "cell-17"


def test_f_metadata_of_any_kind_is_served(client: Client) -> None:
    assert client.ok("1", metadata={"deletedCells": [], "recordTiming": True, "cellId": 5, "x": None}).text == "1"


def test_f_events(client: Client) -> None:
    client.ok(
        "seen = []\nhandlers = {}\n"
        "for name in ('pre_execute', 'pre_run_cell', 'post_execute', 'post_run_cell'):\n"
        "    handlers[name] = lambda *a, name=name: seen.append(name)\n"
        "    get_ipython().events.register(name, handlers[name])"
    )
    client.ok("seen.clear()")
    client.ok("x = 1")
    client.ok("import asyncio; await asyncio.sleep(0)")
    client.ok("for name in handlers: get_ipython().events.unregister(name, handlers[name])")
    all_four = ["pre_execute", "pre_run_cell", "post_execute", "post_run_cell"]
    assert client.evaluate("seen")[:10] == all_four[2:] + all_four + all_four


def test_f_error_in_event_handler_is_reported(client: Client) -> None:
    client.ok("def bad(): raise ValueError('in hook')\nget_ipython().events.register('post_execute', bad)")
    result = client.ok("1")
    client.ok("get_ipython().events.unregister('post_execute', bad)")
    assert result.text == "1" and "in hook" in result.stdout + result.stderr + str(result.all("error"))


def test_f_input_is_builtin_between_cells(client: Client) -> None:
    result = client.ok("import builtins, getpass; builtins.input; getpass.getpass", allow_stdin=True)
    assert result.status == "ok"


@pytest.mark.parametrize(
    ("mode", "shown"), [("all", 3), ("last_expr", 1), ("last", 1), ("none", 0), ("last_expr_or_assign", 1)]
)
def test_f_interactivity(client: Client, mode: str, shown: int) -> None:
    client.ok(f"get_ipython().ast_node_interactivity = {mode!r}")
    result = client.ok("1\n2\n3")
    client.ok("get_ipython().ast_node_interactivity = 'last_expr'")
    assert len(result.all("execute_result")) == shown


def test_f_semicolon_suppresses_display_and_out(client: Client) -> None:
    client.ok("'kept'")
    assert client.ok("'gone';").types() == ["execute_input"]
    assert client.ok("'gone';  # comment").types() == ["execute_input"]
    assert client.evaluate("_") == "kept"
    assert client.ok("'a;b' # ;").text == "'a;b'"


def test_f_cell_filename(client: Client) -> None:
    """One name per source text, known to linecache, seen in warnings and tracebacks."""
    code = "def f():\n    return f.__code__.co_filename\nf()"
    name = eval(client.ok(code).text)
    assert name == eval(client.ok(code).text)
    assert name.endswith(".py") and re.fullmatch(r"\d+\.py", name.rsplit("/", 1)[1])
    assert client.evaluate("__import__('inspect').getsource(f)") == code.rsplit("\n", 1)[0] + "\n"


def test_f_cell_filename_is_murmur2(client: Client) -> None:
    """JupyterLab recomputes the hash: murmur2 of the source's UTF-8, seed 0xc70f6907."""
    code = "(lambda: 0).__code__.co_filename"
    name = eval(client.ok(code).text)
    assert name.rsplit("/", 1)[1] == f"{murmur2(code.encode(), 0xC70F6907)}.py"


def test_f_state_before_error_persists(client: Client) -> None:
    client.run("fifth = 5\n1/0\nfifth = 6")
    assert client.evaluate("fifth") == 5


def test_f_future_flags_persist(fresh: Client) -> None:
    fresh.ok("from __future__ import annotations")
    assert fresh.ok("def f(x: undefined_name): pass\nf.__annotations__['x']").text == "'undefined_name'"


def test_f_traceback_starts_at_the_cell(client: Client) -> None:
    result = client.run("def inner():\n    raise ValueError('deep')\ninner()")
    assert f"Cell In[{result.count}], line 3" in result.traceback
    assert "pupitre" not in result.traceback and "ipykernel" not in result.traceback.replace("ipykernel_", "")
    assert result.traceback.count("Cell In[") == 2


def test_f_large_code_and_output(client: Client) -> None:
    code = "x = '" + "y" * 3_000_000 + "'\nprint(x, end='')"
    assert len(client.ok(code).stdout) == 3_000_000


def test_f_code_with_nul_and_odd_characters(client: Client) -> None:
    assert client.run("x = '\0'").content["ename"] in ("ValueError", "SyntaxError")  # by Python's version
    assert client.ok("'\x7f\u2028\ufeff🂡'").text == "'\\x7f\\u2028\\ufeff🂡'"


def test_f_lone_surrogate_in_code_gets_an_answer(client: Client) -> None:
    """JavaScript sends half an emoji as \\ud83d."""
    result = client.collect(client.send("execute_request", b'{"code": "x = \'\\ud83d\'"}'))
    assert result.content["ename"] == "UnicodeEncodeError"
    assert client.ok("1").text == "1"
