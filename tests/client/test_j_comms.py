# SPDX-License-Identifier: BSD-3-Clause
"""Specification table, section J: comms, both directions."""

from typing import Any

from raw import Client, Message, block

TARGET = """
log = []
def target(comm, message):
    log.append(['open', message['content'].get('data'), [bytes(b).hex() for b in message['buffers']]])
    @comm.on_msg
    def _(message):
        log.append(['msg', message['content'].get('data'), [bytes(b).hex() for b in message['buffers']]])
        print('in handler')
        comm.send({'echo': message['content']['data']}, metadata={'m': 1}, buffers=[b'', b'ab', memoryview(b'cde')])
    @comm.on_close
    def _(message):
        log.append(['close', message['content'].get('data'), []])
get_ipython().kernel.comm_manager.register_target('target', target)
"""


def comm(client: Client, msg_type: str, content: dict[str, Any], **parts: Any) -> list[Message]:
    """Send one, and return what came between busy and idle."""
    msg_id = client.send(msg_type, content, **parts)
    client.recv_busy(msg_id)
    return list(client.messages_until_idle(msg_id))[:-1]


def test_j_open_message_close(client: Client) -> None:
    client.ok(TARGET)
    assert (
        comm(client, "comm_open", {"comm_id": "c", "target_name": "target", "data": {"a": 1}}, buffers=[b"\xff", b""])
        == []
    )
    said = comm(client, "comm_msg", {"comm_id": "c", "data": {"b": 2}}, buffers=[b"12", b"", b"3"])
    assert [message.type for message in said] == ["stream", "comm_msg"]
    assert said[0].content == {"name": "stdout", "text": "in handler\n"}
    echo = said[1]
    assert echo.content["comm_id"] == "c" and echo.content["data"] == {"echo": {"b": 2}}
    assert echo.buffers == [b"", b"ab", b"cde"] and echo.metadata == {"m": 1}
    assert echo.identities == [b"comm-c"]
    assert comm(client, "comm_close", {"comm_id": "c", "data": {"z": 0}}) == []
    assert client.evaluate("log") == [
        ["open", {"a": 1}, ["ff", ""]],
        ["msg", {"b": 2}, ["3132", "", "33"]],
        ["close", {"z": 0}, []],
    ]
    assert client.request("comm_info_request", {"target_name": "target"}).content["comms"] == {}


def test_j_unknown_target_is_closed(client: Client) -> None:
    said = comm(client, "comm_open", {"comm_id": "u", "target_name": "nobody knows", "data": {}})
    assert [m.content["comm_id"] for m in said if m.type == "comm_close"] == ["u"]


def test_j_failing_handlers_close_and_report(client: Client) -> None:
    client.ok(
        "def bad(comm, message): raise ValueError('in target')\n"
        "get_ipython().kernel.comm_manager.register_target('bad', bad)"
    )
    said = comm(client, "comm_open", {"comm_id": "b", "target_name": "bad", "data": {}})
    assert "comm_close" in [message.type for message in said]
    assert client.ok("1").text == "1"


def test_j_message_to_nobody(client: Client) -> None:
    for msg_type in ("comm_msg", "comm_close"):
        assert all(m.type == "stream" for m in comm(client, msg_type, {"comm_id": "nobody", "data": {}}))


def test_j_kernel_side_open(client: Client) -> None:
    result = client.ok(
        block("""
        from comm import create_comm
        k = create_comm(target_name='front', data={'x': [1]}, metadata={'m': 2}, buffers=[b'q'])
    """)
    )
    opened = result.one("comm_open")
    assert opened.content == {
        "data": {"x": [1]},
        "comm_id": client.evaluate("k.comm_id"),
        "target_name": "front",
        "target_module": None,
    }
    assert opened.metadata == {"m": 2} and opened.buffers == [b"q"]
    assert opened.identities == [f"comm-{opened.content['comm_id']}".encode()]
    assert client.ok("k.send({'y': 1})").one("comm_msg").content == {
        "data": {"y": 1},
        "comm_id": opened.content["comm_id"],
    }
    assert client.ok("k.close({'z': 2})").one("comm_close").content["data"] == {"z": 2}


def test_j_answer_to_a_kernel_side_comm(client: Client) -> None:
    client.ok(
        "from comm import create_comm\ngot = []\nk2 = create_comm(target_name='front', comm_id='k2')\n"
        "k2.on_msg(lambda m: got.append(m['content']['data']))"
    )
    comm(client, "comm_msg", {"comm_id": "k2", "data": {"n": 5}})
    assert client.evaluate("got") == [{"n": 5}]


def test_j_collected_comm_is_closed(client: Client) -> None:
    client.ok("from comm import create_comm\nk3 = create_comm(target_name='front', comm_id='k3')")
    assert (
        client.ok("get_ipython().kernel.comm_manager.comms['k3'].close()").one("comm_close").content["comm_id"] == "k3"
    )


def test_j_text_printed_before_a_message_arrives_before_it(client: Client) -> None:
    """ipykernel does not flush; ours keeps the order of what the code did."""
    client.ok("from comm import create_comm\nk4 = create_comm(target_name='front', comm_id='k4')")
    assert client.ok("print('first'); k4.send({}); print('last')").types() == [
        "execute_input",
        "stdout",
        "comm_msg",
        "stdout",
    ]


def test_j_legacy_classes(client: Client) -> None:
    result = client.ok(
        "import warnings; warnings.simplefilter('ignore')\nfrom ipykernel.comm import Comm, CommManager\n"
        "c = Comm(target_name='legacy', data={'a': 1})"
    )
    assert result.one("comm_open").content["target_name"] == "legacy"
    assert client.ok("c.send({'b': 2}); c.close()").types() == ["execute_input", "comm_msg", "comm_close"]


def test_j_handlers_fire_execute_events(client: Client) -> None:
    """So that inline figures made in a widget's callback appear."""
    client.ok(TARGET)
    comm(client, "comm_open", {"comm_id": "e", "target_name": "target", "data": {}})
    client.ok(
        block("""
        events = []
        post = lambda: events.append('post'); get_ipython().events.register('post_execute', post)
    """)
    )
    client.ok("events.clear()")
    comm(client, "comm_msg", {"comm_id": "e", "data": {}})
    assert "post" in client.evaluate("events")[:2]
    client.ok("get_ipython().events.unregister('post_execute', post)")


def test_j_messages_queue_behind_a_cell(client: Client) -> None:
    client.ok(TARGET)
    comm(client, "comm_open", {"comm_id": "q", "target_name": "target", "data": {}})
    cell = client.execute("import time; time.sleep(0.2); print('cell')")
    message = client.send("comm_msg", {"comm_id": "q", "data": {}})
    assert client.collect(cell).stdout == "cell\n"
    client.recv_busy(message)
    assert [m.type for m in client.messages_until_idle(message)] == ["stream", "comm_msg", "status"]


def test_j_messages_from_threads_and_tasks(client: Client) -> None:
    client.ok(
        "from comm import create_comm\nimport threading, asyncio\nk5 = create_comm(target_name='front', comm_id='k5')"
    )
    result = client.ok("t = threading.Thread(target=k5.send, args=({'t': 1},)); t.start(); t.join()")
    assert result.one("comm_msg").content["data"] == {"t": 1}
    first = client.ok(
        block("""
        async def later():
            await asyncio.sleep(0.05)
            k5.send({'later': 1})
        task = asyncio.create_task(later())
    """)
    )
    sent = client.recv("iopub", "comm_msg", first.reply.parent["msg_id"])
    assert sent.content["data"] == {"later": 1}


def test_j_interact_slider(client: Client) -> None:
    """ipywidgets' own traffic: a slider moved by the front end calls the function, output goes to the widget's cell."""
    result = client.ok(
        "import ipywidgets\nslider = ipywidgets.IntSlider(value=3)\nseen = []\n"
        "slider.observe(lambda change: seen.append(change['new']), 'value')\nslider",
        deadline=30,
    )
    view = result.data["application/vnd.jupyter.widget-view+json"]
    comm_id = view["model_id"]
    opened = [m.content["comm_id"] for m in result.all("comm_open")]
    assert comm_id in opened
    comm(
        client,
        "comm_msg",
        {"comm_id": comm_id, "data": {"method": "update", "state": {"value": 42}, "buffer_paths": []}},
    )
    assert client.evaluate("seen") == [42] and client.evaluate("slider.value") == 42


def test_j_output_widget_captures(client: Client) -> None:
    result = client.ok(
        "import ipywidgets\nout = ipywidgets.Output()\nwith out: print('captured')\nprint('outside')", deadline=30
    )
    states = [m.content["data"].get("state", {}) for m in result.all("comm_msg")]
    assert any(state.get("msg_id") for state in states)
    assert "outside" in result.stdout


def test_j_large_buffers(client: Client) -> None:
    client.ok(TARGET)
    comm(client, "comm_open", {"comm_id": "L", "target_name": "target", "data": {}}, buffers=[b"x" * (8 << 20)])
    assert client.evaluate("len(log[-1][2][0])") == 16 << 20
    client.ok("from comm import create_comm\nk6 = create_comm(target_name='front', comm_id='k6')")
    sent = client.ok("k6.send({}, buffers=[bytes(8 << 20), b'y'])").one("comm_msg")
    assert [len(buffer) for buffer in sent.buffers] == [8 << 20, 1]


def test_j_many_buffers(client: Client) -> None:
    """ipywidgets answers request_states with the buffers of all widgets in one message."""
    client.ok(
        block("""
        from comm import create_comm
        many = create_comm(target_name='front', comm_id='many')
        got = []
        many.on_msg(lambda message: got.append([bytes(buffer) for buffer in message['buffers']]))
    """)
    )
    buffers = [str(n).encode() for n in range(3000)]
    sent = client.ok("many.send({}, buffers=[str(n).encode() for n in range(3000)])").one("comm_msg")
    assert sent.buffers == buffers
    assert comm(client, "comm_msg", {"comm_id": "many", "data": {}}, buffers=buffers) == []
    assert client.evaluate("got == [[str(n).encode() for n in range(3000)]]")


def test_j_buffers_beyond_every_limit_are_refused(client: Client) -> None:
    """Whole or not at all, and who sends is told."""
    client.ok("from comm import create_comm\nk8 = create_comm(target_name='front', comm_id='k8')")
    result = client.run("k8.send({}, buffers=[b''] * 70_000)")
    assert "70005 parts" in result.error["evalue"] and result.all("comm_msg") == []
    assert client.ok("1").text == "1"


def test_j_buffer_in_fortran_order(client: Client) -> None:
    """The bytes as they lie in memory, as with any contiguous buffer."""
    client.ok("from comm import create_comm\nk9 = create_comm(target_name='front', comm_id='k9')")
    result = client.ok(
        block("""
        import numpy
        array = numpy.arange(6, dtype='u1').reshape(2, 3)
        k9.send({}, buffers=[array, numpy.asfortranarray(array), memoryview(array).cast('B')])
    """)
    )
    assert result.one("comm_msg").buffers == [bytes(range(6)), bytes([0, 3, 1, 4, 2, 5]), bytes(range(6))]


def test_j_non_contiguous_buffer_is_refused(client: Client) -> None:
    client.ok("from comm import create_comm\nk7 = create_comm(target_name='front', comm_id='k7')")
    assert client.run("k7.send({}, buffers=[memoryview(b'abcdef')[::2]])").content["ename"] == "ValueError"
    assert client.run("k7.send({}, buffers=['text'])").content["ename"] == "TypeError"
