# SPDX-License-Identifier: BSD-3-Clause
"""Specification table, section E: status, dispatch, and whose output it is. Hazard P14: every request is answered."""

from collections.abc import Callable
from typing import Any

import pytest
from launch import Kernel
from raw import Client, Content, block

Launch = Callable[..., Kernel]


def test_e_status_starting_once(launch: Launch) -> None:
    """A subscriber that was there before the kernel sees it, with no parent, and no idle after it."""
    kernel = launch(wait=False)
    client = kernel.client()
    msg_id = client.send("kernel_info_request")
    client.recv_reply(msg_id, 30)
    client.recv_busy(msg_id)
    client.recv_idle(msg_id)
    starting = [message for message in client.inbox if message.state == "starting"]
    assert len(starting) == 1 and starting[0].parent == {}


@pytest.mark.parametrize("channel", ["shell", "control"])
@pytest.mark.parametrize("msg_type", ["kernel_info_request", "connect_request"])
def test_e_busy_and_idle_on_both_channels(client: Client, channel: str, msg_type: str) -> None:
    result = client.request(msg_type, channel=channel)
    assert result.busy.content == {"execution_state": "busy"} and result.idle.content == {"execution_state": "idle"}
    assert result.messages == [] and result.status == "ok"


@pytest.mark.parametrize("channel", ["shell", "control"])
@pytest.mark.parametrize("msg_type", ["nonsense", "comm_msg", "comm_close", "input_reply", "x" * 1000, "é"])
def test_e_unknown_types_get_busy_and_idle(client: Client, channel: str, msg_type: str) -> None:
    content = {"comm_id": "nobody", "data": {}}
    msg_id = client.send(msg_type, content, channel=channel)
    client.recv_busy(msg_id)
    rest = list(client.messages_until_idle(msg_id))
    assert all(message.type in ("status", "stream", "error", "comm_close") for message in rest)
    assert client.ok("1").text == "1"


@pytest.mark.parametrize("channel", ["shell", "control"])
def test_e_unknown_request_gets_an_error_reply(client: Client, channel: str) -> None:
    result = client.request("dance_request", {"steps": 3}, channel=channel)
    assert result.reply.type == "dance_reply"
    assert result.status == "error" and result.content["ename"] and "traceback" in result.content


@pytest.mark.parametrize("stem", ["x" * 60, "é" * 500, "x" * 20_000, "a_reply_", 'a\n"b'])
def test_e_reply_type_is_the_requests(client: Client, stem: str) -> None:
    """Of any length: the reply that a worker named in 64 bytes and more was taken for nonsense, and the kernel died."""
    assert client.request(f"{stem}_request").reply.type == f"{stem}_reply"
    assert client.ok("1").text == "1"


def test_e_requests_of_a_broken_engine_are_answered(launch: Launch) -> None:
    """Neither its handler nor what should report the failure works: C answers, and shows the error on a cell."""
    kernel = launch()
    client = kernel.client()
    client.ok("import _pupitre\ndef broken(*args): raise type('Odd \"name\"', (Exception,), {})\n")
    client.ok("_pupitre.set_handler(broken, broken)")
    cell = client.request("execute_request", {"code": "1"})
    assert [message.type for message in cell.messages] == ["error"]
    looked = client.request("complete_request", {"code": "x", "cursor_pos": 1})
    for content in (cell.content, looked.content, cell.messages[0].content):
        assert content["ename"] == "KernelError" and content["evalue"].endswith('(Odd "name")')
        assert content["traceback"] == [f"KernelError: {content['evalue']}"]
    assert cell.status == looked.status == "error"
    msg_id = client.send("comm_msg", {"comm_id": "x", "data": {}})
    client.recv_busy(msg_id)
    client.recv_idle(msg_id)


def test_e_extra_fields_are_ignored(client: Client) -> None:
    assert client.request("execute_request", {"code": "1", "unknown": {"a": [1]}}).text == "1"
    assert client.request("complete_request", {"code": "pri", "cursor_pos": 3, "x": 1}).status == "ok"
    assert client.request("kernel_info_request", {"x": None}).status == "ok"


# -- what clients send for an empty object ---


@pytest.mark.parametrize("nothing", [b"null", b"[]", b" null\n"])
@pytest.mark.parametrize("part", ["parent", "metadata", "content"])
def test_e_nothing_is_an_empty_object(client: Client, part: str, nothing: bytes) -> None:
    """The old specification allows null for a parent header; some clients' languages have no empty object."""
    for msg_type, fields in [*FIELDS.items(), ("usage_request", {})]:
        content = fields if part != "content" else nothing
        parts: dict[str, Any] = {} if part == "content" else {part: nothing}
        result = client.request(msg_type, content, **parts)
        if part == "content" and "code" in fields:
            assert result.content["ename"] == "ValueError" and "`code`" in result.content["evalue"]
        elif part != "content" or msg_type != "history_request":
            assert result.content.get("status", "ok") in ("ok", "complete", "incomplete"), result.content
    assert client.ok("1").text == "1"


def test_e_nothing_shuts_down(kernel: Kernel, fresh: Client) -> None:
    result = fresh.request("shutdown_request", b"null", channel="control")
    assert result.content == {"status": "ok", "restart": False}
    assert kernel.wait_exit() == 0


@pytest.mark.parametrize("number", [17, 0, -3, 1.5, 10**30])
def test_e_numbered_messages_are_answered(client: Client, number: float) -> None:
    """The parent header has the number as it came."""
    for msg_type, content in (("kernel_info_request", {}), ("execute_request", {"code": "print(1)"})):
        client.send(msg_type, content, header={"msg_id": number})
        messages = list(client.messages_until_idle(number))  # type: ignore[arg-type]
        assert all(message.parent["msg_id"] == number for message in messages)
        reply = client.take(lambda m: m.channel == "shell" and m.parent_id == number, "reply")
        assert reply.content["status"] == "ok"


# -- malformed requests ---

VALUES: list[Any] = [None, True, -1, 0, 1.5, 10**30, "", "x", "é𝄞", [], [1, "a", None], {}, {"a": {"b": 1}}, [[[]]]]

FIELDS: dict[str, Content] = {
    "execute_request": {
        "code": "1",
        "silent": False,
        "store_history": True,
        "user_expressions": {},
        "allow_stdin": False,
        "stop_on_error": True,
    },
    "inspect_request": {"code": "print", "cursor_pos": 3, "detail_level": 0, "omit_sections": []},
    "complete_request": {"code": "pri", "cursor_pos": 3},
    "is_complete_request": {"code": "for x in y:"},
    "history_request": {
        "output": False,
        "raw": True,
        "hist_access_type": "tail",
        "session": 0,
        "start": 0,
        "stop": None,
        "n": 2,
        "pattern": "*",
        "unique": False,
        "unknown": 1,
    },
    "comm_info_request": {"target_name": "x"},
    "kernel_info_request": {"anything": 1},
    "connect_request": {"anything": 1},
}


@pytest.mark.parametrize("field", [(m, f) for m, fields in FIELDS.items() for f in fields], ids=lambda f: ".".join(f))
def test_e_malformed_requests_get_one_reply_and_one_idle(client: Client, field: tuple[str, str]) -> None:
    """Each field, each kind of wrong value, and the field left out: over 400 requests in all."""
    msg_type, name = field
    good = FIELDS[msg_type]
    contents = [{**good, name: value} for value in VALUES] + [{k: v for k, v in good.items() if k != name}]
    asked = [client.send(msg_type, content) for content in contents]
    for msg_id in asked:
        status = client.collect(msg_id).content.get("status")
        assert status in ("ok", "error", "aborted", "complete", "incomplete", "invalid", "unknown"), status
    client.collect(client.execute("", stop_on_error=False))


NO_OBJECTS = [b"", b"{", b"5", b'"x"', b"[1]", b"\xff", b"[" * 2000]


@pytest.mark.parametrize("part", ["metadata", "parent_header", "content"])
def test_e_what_is_no_json_object_is_the_requests_fault(client: Client, part: str) -> None:
    """The answer names the part, and does not advise to restart the kernel."""
    for bad in NO_OBJECTS:
        parts = {"parent": b"{}", "metadata": b"{}", "content": b'{"code": "1", "cursor_pos": 0}'}
        parts["parent" if part == "parent_header" else part] = bad
        for msg_type in ("execute_request", "complete_request"):
            result = client.request(msg_type, **parts)
            assert result.status == "error" and result.content["ename"] == "ValueError", result.content
            assert result.content["evalue"].startswith(f"the {part} of this request cannot be read as a JSON object")
            assert result.types() == (["error"] if msg_type == "execute_request" else [])
    assert client.ok("1").text == "1"


@pytest.mark.parametrize("kind", ["range", "search"])
@pytest.mark.parametrize("name", ["session", "start", "stop", "n", "pattern", "unique", "output", "raw"])
def test_e_malformed_history_requests(client: Client, kind: str, name: str) -> None:
    good = {**FIELDS["history_request"], "hist_access_type": kind}
    for msg_id in [client.send("history_request", {**good, name: value}) for value in VALUES]:
        assert client.collect(msg_id).status in ("ok", "error")


@pytest.mark.parametrize("msg_type", ["interrupt_request", "usage_request", "debug_request", "create_subshell_request"])
def test_e_malformed_control_requests(client: Client, msg_type: str) -> None:
    contents: list[Content] = [{}, {"type": None}, {"subshell_id": 5}, {"command": []}]
    for content in contents:
        result = client.request(msg_type, content, channel="control")
        assert result.reply.type == msg_type.replace("request", "reply")
        client.ok("1")


def test_e_malformed_comm_messages_get_idle(client: Client) -> None:
    bad = [{}, *[{"comm_id": value} for value in VALUES], *[{"comm_id": "x", "target_name": v} for v in VALUES]]
    for msg_type in ("comm_open", "comm_msg", "comm_close"):
        for msg_id in [client.send(msg_type, content) for content in bad]:
            client.recv_busy(msg_id)
            for message in client.messages_until_idle(msg_id):
                assert message.type in ("status", "stream", "error", "comm_close")
    assert client.ok("1").text == "1"


@pytest.mark.parametrize("missing", ["code", "cursor_pos"])
def test_e_missing_required_field_is_an_error(client: Client, missing: str) -> None:
    """BUG in ipykernel: no reply."""
    content = {"code": "x", "cursor_pos": 1}
    del content[missing]
    msg_type = "execute_request" if missing == "code" else "complete_request"
    result = client.request(msg_type, content)
    assert result.status == ("error" if missing == "code" else result.status)
    if result.status == "error":
        assert {"ename", "evalue", "traceback"} <= set(result.content)


# -- parents ---


def test_e_control_requests_have_their_own_parent(client: Client) -> None:
    cell = client.begin(
        "import time; print('ready', flush=True)\nfor n in range(20): print(n, flush=True); time.sleep(0.01)"
    )
    for _ in range(10):
        assert client.request("kernel_info_request", channel="control").messages == []
    assert client.collect(cell, begun=True).stdout == "".join(f"{n}\n" for n in range(20))


def test_e_control_serves_kernel_info_while_shell_is_busy(client: Client) -> None:
    cell = client.begin("import time; print('ready', flush=True); time.sleep(0.5)")
    info = client.request("kernel_info_request", channel="control")
    assert info.content["implementation"]
    result = client.collect(cell, begun=True)
    assert info.reply.received < result.reply.received


def test_e_execute_on_control(client: Client) -> None:
    """Served like any other, with its own parent and reply.metadata.started."""
    result = client.run("print('from control'); 6", channel="control")
    assert result.stdout == "from control\n" and result.text == "6"
    assert "started" in result.reply.metadata


def test_e_thread_prints_for_the_running_cell(client: Client) -> None:
    result = client.ok("import threading\nt = threading.Thread(target=print, args=('thread',))\nt.start(); t.join()")
    assert result.stdout == "thread\n"


THREAD = """
import threading
go, done = threading.Event(), threading.Event()
def work():
    go.wait()
    print('from the thread', flush=True)
    done.set()
threading.Thread(target=work, daemon=True).start()
"""


def test_e_thread_of_an_earlier_cell_prints_for_the_latest(client: Client) -> None:
    assert client.ok(THREAD).stdout == ""
    assert client.ok("go.set(); done.wait(5)").stdout == "from the thread\n"


def test_e_thread_parent_can_be_set(client: Client) -> None:
    started = client.ok(
        THREAD.replace("    go.wait()", "    shell.set_thread_parent(parent); go.wait()").replace(
            "import threading", "import threading\nshell = get_ipython(); parent = shell.get_parent()"
        )
    )
    assert client.ok("go.set(); done.wait(5)").stdout == ""
    client.recv_stream(started.reply.parent["msg_id"], "from the thread\n")


def test_e_asyncio_task_prints_for_its_own_cell(client: Client) -> None:
    """Even while another cell runs."""
    code = block("""
        import asyncio
        event = asyncio.Event()
        async def work():
            await event.wait()
            print('mine'); display(1)
    """)
    first = client.ok(code + "\ntask = asyncio.create_task(work())")
    second = client.ok("print('before'); event.set(); await task; print('after')")
    assert second.stdout == "before\nafter\n" and second.types() == ["execute_input", "stdout"]
    msg_id = first.reply.parent["msg_id"]
    client.recv_stream(msg_id, "mine\n")
    assert client.recv("iopub", "display_data", msg_id).content["data"] == {"text/plain": "1"}


def test_e_old_parents_are_still_right(client: Client) -> None:
    """A task of a cell that is more than 64 requests back."""
    code = block("""
        import asyncio
        late = asyncio.Event()
        async def work():
            await late.wait()
            print('old'); display(2)
    """)
    first = client.ok(code + "\ntask = asyncio.create_task(work())")
    for n in range(100):
        client.ok(str(n), silent=True)
    last = client.ok("print('before'); late.set(); await task; print('after')")
    assert last.stdout == "before\nafter\n"
    msg_id = first.reply.parent["msg_id"]
    client.recv_stream(msg_id, "old\n")
    assert client.recv("iopub", "display_data", msg_id).content["data"] == {"text/plain": "2"}


def test_e_output_after_idle_keeps_its_parent(client: Client) -> None:
    code = block("""
        import asyncio
        async def work():
            await asyncio.sleep(0.05)
            print('late')
        task = asyncio.create_task(work())
    """)
    first = client.ok(code)
    client.recv_stream(first.reply.parent["msg_id"], "late\n")


def test_e_contextvar_set_in_a_cell_persists(client: Client) -> None:
    client.ok("import contextvars; v = contextvars.ContextVar('v'); v.set(1)")
    assert client.evaluate("v.get()") == 1
    client.ok("import asyncio; v.set(2); await asyncio.sleep(0)")
    assert client.ok("v.get()").text in ("1", "2")


def test_e_parent_api(client: Client) -> None:
    code = block("""
        ip = get_ipython()
        parents = [ip.kernel.get_parent(), ip.kernel._parent_header, ip.get_parent(), ip.parent_header]
        {parent['header']['msg_id'] for parent in parents}
    """)
    result = client.ok(code)
    assert eval(result.text) == {result.reply.parent["msg_id"]}


def test_e_parent_api_has_the_whole_request(client: Client) -> None:
    client.ok("parent = get_ipython().kernel.get_parent()", metadata={"cellId": "c1"})
    parent = client.evaluate("{k: parent[k] for k in ('header', 'metadata', 'content')}")
    assert parent["header"]["msg_type"] == "execute_request" and parent["header"]["session"] == client.session
    assert parent["metadata"] == {"cellId": "c1"} and parent["content"]["code"].startswith("parent =")


def test_e_user_handlers(client: Client) -> None:
    """People add to the handler maps."""
    client.ok("calls = []\nget_ipython().kernel.shell_handlers['my_request'] = lambda *a: calls.append(len(a))")
    msg_id = client.send("my_request", {"x": 1})
    client.recv_busy(msg_id)
    client.recv_idle(msg_id)
    assert client.evaluate("calls") == [3]
    client.inbox = [message for message in client.inbox if message.type != "my_reply"]
