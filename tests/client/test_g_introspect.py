# SPDX-License-Identifier: BSD-3-Clause
"""Specification table, section G: inspect, complete, is_complete, history, comm_info, kernel_info, connect."""

import re
from typing import Any

import pytest
from raw import Client, Content, Result


def inspect(client: Client, code: str, cursor_pos: int | None = None, **more: Any) -> Content:
    content = {"code": code, "cursor_pos": len(code) if cursor_pos is None else cursor_pos, "detail_level": 0, **more}
    return client.request("inspect_request", content).content


def complete(client: Client, code: str, cursor_pos: int | None = None) -> Content:
    pos = len(code) if cursor_pos is None else cursor_pos
    content = client.request("complete_request", {"code": code, "cursor_pos": pos}).content
    assert content["status"] == "ok" and set(content) >= {"matches", "cursor_start", "cursor_end", "metadata"}
    return content


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


# -- inspect ---


def test_g_inspect_found(client: Client) -> None:
    client.ok('def documented(x):\n    """Says what."""\n    return x')
    content = inspect(client, "documented")
    assert content["status"] == "ok" and content["found"] is True and content["metadata"] == {}
    assert list(content["data"]) == ["text/plain"]
    text = plain(content["data"]["text/plain"])
    assert "Says what." in text and "Signature:" in text and "return x" not in text


def test_g_inspect_detail_level_adds_source(client: Client) -> None:
    client.ok('def documented(x):\n    """Says what."""\n    return x')
    assert "return x" in plain(inspect(client, "documented", detail_level=1)["data"]["text/plain"])


def test_g_inspect_omit_sections(client: Client) -> None:
    client.ok('def documented(x):\n    """Says what."""\n    return x')
    text = plain(inspect(client, "documented", omit_sections=["docstring"])["data"]["text/plain"])
    assert "Says what." not in text and "Signature:" in text


def test_g_inspect_inside_a_call_finds_the_function(client: Client) -> None:
    assert "print" in plain(inspect(client, "print(x, ")["data"]["text/plain"]).split("\n")[0]


def test_g_inspect_not_found(client: Client) -> None:
    assert inspect(client, "nowhere_defined") == {"status": "ok", "found": False, "data": {}, "metadata": {}}
    assert inspect(client, "")["found"] is False


def test_g_inspect_cursor_counts_code_points(client: Client) -> None:
    client.ok("value_a = 'first'; value_b = 2")
    code = "'𝄞🎉é'; value_a + value_b"
    assert "first" in plain(inspect(client, code, code.index("value_a") + 3)["data"]["text/plain"])
    assert "int" in plain(inspect(client, code)["data"]["text/plain"])


def test_g_inspect_cursor_null_means_end(client: Client) -> None:
    result = client.request("inspect_request", {"code": "print", "cursor_pos": None, "detail_level": 0})
    assert result.content["found"] is True


# -- complete ---


def test_g_complete_name(client: Client) -> None:
    content = complete(client, "zi")
    assert "zip" in content["matches"] and (content["cursor_start"], content["cursor_end"]) == (0, 2)


def test_g_complete_attribute(client: Client) -> None:
    client.ok("import math")
    content = complete(client, "math.flo")
    assert any(match.endswith("floor") for match in content["matches"])
    start = content["cursor_start"]
    assert all(match.startswith("math.flo"[start:]) for match in content["matches"])


def test_g_complete_cursor_counts_code_points(client: Client) -> None:
    client.ok("quite_long_name = 2")
    code = "'🎉🎉🎉'; quite_lo + 1"
    content = complete(client, code, code.index(" + 1"))
    assert content["matches"] == ["quite_long_name"]
    assert code[content["cursor_start"] : content["cursor_end"]] == "quite_lo"


def test_g_complete_cursor_null_means_end(client: Client) -> None:
    assert "zip" in client.request("complete_request", {"code": "zi", "cursor_pos": None}).content["matches"]


def test_g_complete_nothing(client: Client) -> None:
    content = complete(client, "no_such_name_anywhere_x")
    assert content["matches"] == [] and content["cursor_start"] == content["cursor_end"]


def test_g_complete_types(client: Client) -> None:
    """metadata._jupyter_types_experimental, one entry a match."""
    client.ok("def long_function_name(a, b): pass")
    content = complete(client, "long_func")
    types = content["metadata"]["_jupyter_types_experimental"]
    assert len(types) == len(content["matches"])
    entry = next(t for t in types if t["text"] == "long_function_name")
    assert entry["type"] == "function" and {"start", "end", "text", "type", "signature"} <= set(entry)
    assert (entry["start"], entry["end"]) == (0, 9)


@pytest.mark.parametrize(
    ("code", "match"),
    [("%ti", "%timeit"), ("%%ti", "%%timeit"), ("import jso", "json"), ("d['ke", "key one"), ("'a'.upp", "upper")],
)
def test_g_complete_kinds(client: Client, code: str, match: str) -> None:
    client.ok("d = {'key one': 1}")
    assert any(match in found for found in complete(client, code)["matches"])


def test_g_complete_paths(client: Client) -> None:
    client.ok("import os; os.makedirs('folder-x', exist_ok=True); open('folder-x/file-y.txt', 'w').close()")
    assert any("file-y.txt" in match for match in complete(client, "open('folder-x/fi")["matches"])


# -- is_complete ---

SAMPLES: list[tuple[str, str, str | None]] = [
    ("", "complete", None),
    ("1 + 1", "complete", None),
    ("for i in x:", "incomplete", "    "),
    ("def f(x):\n  x*2", "incomplete", "  "),
    ("a = (", "incomplete", ""),
    ("%%time\nx\n", "incomplete", ""),
    ("%%timeit\na\n\n", "complete", None),
    ("raise = 2", "invalid", None),
    ("print('''", "incomplete", ""),
    ("import this\n%time 1", "complete", None),
]


@pytest.mark.parametrize(("code", "status", "indent"), SAMPLES)
def test_g_is_complete(client: Client, code: str, status: str, indent: str | None) -> None:
    content = client.request("is_complete_request", {"code": code}).content
    assert content["status"] == status
    assert content.get("indent") == indent


# -- history ---


def history(client: Client, kind: str, **content: Any) -> list[list[Any]]:
    result: Result = client.request(
        "history_request", {"hist_access_type": kind, "output": False, "raw": True, **content}
    )
    assert result.status == "ok"
    rows: list[list[Any]] = result.content["history"]
    assert all(len(row) == 3 for row in rows)
    return rows


@pytest.fixture
def story(client: Client) -> list[str]:
    """Three cells, and what they were."""
    cells = ["story_one = 1", "story_one + 1", "%time story_three = 3"]
    for cell in cells:
        client.ok(cell)
    return cells


def test_g_history_tail(client: Client, story: list[str]) -> None:
    rows = history(client, "tail", n=3)
    assert [row[2] for row in rows] == story
    session, line = client.evaluate("get_ipython().history_manager.session_number"), rows[0][1]
    assert [row[0] for row in rows] == [session] * 3
    assert [row[1] for row in rows] == [line, line + 1, line + 2]


def test_g_history_tail_with_output(client: Client, story: list[str]) -> None:
    rows = history(client, "tail", n=3, output=True)
    assert [row[2][0] for row in rows] == story and all(len(row[2]) == 2 for row in rows)


def test_g_history_tail_transformed(client: Client, story: list[str]) -> None:
    assert "run_line_magic" in history(client, "tail", n=3, raw=False)[2][2]


def test_g_history_range(client: Client, story: list[str]) -> None:
    """Relative session numbers; rows carry the number asked for; stop is exclusive."""
    line = history(client, "tail", n=3)[0][1]
    assert history(client, "range", session=0, start=line, stop=line + 2) == [
        [0, line, story[0]],
        [0, line + 1, story[1]],
    ]
    assert [row[2] for row in history(client, "range", session=0, start=line)][:3] == story


def test_g_history_search(client: Client, story: list[str]) -> None:
    assert [row[2] for row in history(client, "search", pattern="story_one*", n=10)][-2:] == story[:2]
    assert history(client, "search", pattern="nothing like this*") == []
    client.ok(story[0])
    client.ok(story[0])
    found = [row[2] for row in history(client, "search", pattern="story_one = ?", unique=True)]
    assert found == [story[0]]


def test_g_history_of_bogus_kind_is_empty(client: Client) -> None:
    assert history(client, "bogus") == []


# -- comm_info, kernel_info, connect  ---


def test_g_comm_info(client: Client) -> None:
    client.ok(
        "from comm import create_comm\nc1 = create_comm(target_name='t1', comm_id='i1')\n"
        "c2 = create_comm(target_name='t2', comm_id='i2')"
    )
    everything = client.request("comm_info_request", {"target_name": None}).content
    assert everything["status"] == "ok"
    assert everything["comms"]["i1"] == {"target_name": "t1"} and everything["comms"]["i2"] == {"target_name": "t2"}
    assert client.request("comm_info_request", {}).content["comms"] == everything["comms"]
    assert client.request("comm_info_request", {"target_name": "t1"}).content["comms"] == {"i1": {"target_name": "t1"}}
    client.ok("c1.close(); c2.close()")
    assert client.request("comm_info_request", {"target_name": "t1"}).content["comms"] == {}


@pytest.mark.parametrize("channel", ["shell", "control"])
def test_g_kernel_info(client: Client, channel: str) -> None:
    content = client.request("kernel_info_request", channel=channel).content
    python = client.evaluate("__import__('sys').version.split()[0]")
    assert content["status"] == "ok" and re.fullmatch(r"5\.\d+(\.\d+)?", content["protocol_version"])
    assert isinstance(content["implementation"], str) and isinstance(content["implementation_version"], str)
    info = content["language_info"]
    assert info["name"] == "python" and info["version"] == python
    assert info["mimetype"] == "text/x-python" and info["file_extension"] == ".py"
    assert info["pygments_lexer"].startswith("ipython") and info["nbconvert_exporter"] == "python"
    assert info["codemirror_mode"] == {"name": "ipython", "version": 3}
    assert content["banner"] and len(content["help_links"]) >= 5
    assert all(set(link) == {"text", "url"} for link in content["help_links"])
    assert isinstance(content.get("supported_features", []), list)


def test_g_kernel_info_before_anything_else(client: Client) -> None:
    first = client.request("kernel_info_request").content
    assert client.request("kernel_info_request", channel="control").content == first


def test_g_connect(client: Client) -> None:
    content = client.request("connect_request").content
    for channel, port in client.connection.ports.items():
        assert content[f"{channel}_port"] == port
