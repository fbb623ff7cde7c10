# SPDX-License-Identifier: BSD-3-Clause
"""spec J: comms."""

import gc
import json
import sys

import pytest
from harness import Engine


def test_open_from_the_kernel(engine: Engine) -> None:
    answer = engine.ok(
        "import comm; t_c = comm.create_comm(target_name='t', data={'a': 1}, metadata={'m': 2}, buffers=[b'x', b''])"
    )
    (message,) = [message for message in answer.messages if message.type == "comm_open"]
    assert (
        message.content["data"] == {"a": 1}
        and message.content["target_name"] == "t"
        and message.content["target_module"] is None
    )
    assert message.topic == b"comm-" + message.content["comm_id"].encode()
    assert message.metadata == {"m": 2} and message.buffers == [b"x", b""]
    answer = engine.ok("t_c.send({'b': 2}); t_c.close()")
    assert [message.type for message in answer.messages[1:]] == ["comm_msg", "comm_close"]


def test_close_when_collected(engine: Engine) -> None:
    engine.ok("import comm; t_c = comm.create_comm(target_name='t'); comm.get_comm_manager().unregister_comm(t_c)")
    answer = engine.ok("del t_c; None")
    gc.collect()
    assert "comm_close" in answer.kinds


def test_messages_from_the_client(engine: Engine) -> None:
    engine.ok(
        "import comm; t_got = []\ndef t_target(c, m):\n    t_got.append(m['content']['data'])\n"
        "    c.on_msg(lambda m: (t_got.append((m['content']['data'], [bytes(b) for b in m['buffers']], "
        "m['msg_type'])), print('in handler')))\n"
        "    c.on_close(lambda m: t_got.append('closed'))\n"
        "comm.get_comm_manager().register_target('t_target', t_target)"
    )
    opened = engine.request("comm_open", {"comm_id": "c1", "target_name": "t_target", "data": {"x": 1}})
    assert opened.reply == {}
    info = engine.request("comm_info_request", {"target_name": "t_target"}).reply
    assert info == {"status": "ok", "comms": {"c1": {"target_name": "t_target"}}}
    assert engine.request("comm_info_request", {"target_name": "other"}).reply["comms"] == {}
    answer = engine.request("comm_msg", {"comm_id": "c1", "data": 5}, buffers=(b"one", b""))
    assert answer.text() == "in handler\n" and answer.messages[0].serial == engine.serial
    engine.request("comm_close", {"comm_id": "c1", "data": {}})
    assert engine.shell.user_ns["t_got"] == [{"x": 1}, (5, [b"one", b""], "comm_msg"), "closed"]
    assert "c1" not in engine.request("comm_info_request").reply["comms"]


def test_first_request_of_a_kernel_is_a_comm(engine: Engine) -> None:
    """JupyterLab asks for widgets before anybody imported comm; that import must not need itself."""
    import pupitre

    names = [name for name in sys.modules if name.partition(".")[0] == "comm" or name == "pupitre.comms"]
    saved = {name: sys.modules.pop(name) for name in names}
    comms, engine.kernel._comms = engine.kernel._comms, None
    try:
        answer = engine.request("comm_open", {"comm_id": "c0", "target_name": "jupyter.widget.control", "data": {}})
        assert "comm_close" in answer.kinds and answer.all("error") == []
        assert engine.request("comm_info_request").reply == {"status": "ok", "comms": {}}
        answer = engine.ok("import comm; comm.create_comm(target_name='t').close()")
        assert answer.kinds == ["execute_input", "comm_open", "comm_close"]
    finally:
        sys.modules.update(saved)
        engine.kernel._comms = comms
        pupitre.comms = saved.get("pupitre.comms", sys.modules["pupitre.comms"])


def test_unknown_target_is_closed(engine: Engine) -> None:
    answer = engine.request("comm_open", {"comm_id": "c2", "target_name": "nobody", "data": {}})
    assert "comm_close" in answer.kinds


@pytest.mark.parametrize("kind", ["comm_open", "comm_msg", "comm_close"])
@pytest.mark.parametrize("content", [{}, {"comm_id": "unknown"}, {"comm_id": 3, "target_name": None}])
def test_bad_messages_are_finished(engine: Engine, kind: str, content: dict[str, object]) -> None:
    engine.request(kind, content)
    assert engine.result("1") == "1"


def test_handler_that_raises(engine: Engine) -> None:
    engine.ok(
        "import comm\ndef t_target(c, m):\n    def t_h(m):\n        raise KeyboardInterrupt\n    c.on_msg(t_h)\n"
        "comm.get_comm_manager().register_target('t_target', t_target)"
    )
    engine.request("comm_open", {"comm_id": "c3", "target_name": "t_target", "data": {}})
    engine.request("comm_msg", {"comm_id": "c3", "data": 5})
    assert engine.result("2") == "2"


def test_non_contiguous_buffer(engine: Engine) -> None:
    answer = engine.execute(
        "import comm; t_c = comm.create_comm(target_name='t'); t_c.send({}, buffers=[memoryview(bytearray(4))[::2]])"
    )
    assert answer.reply["ename"] == "ValueError"
    engine.ok("t_c.close()")


def test_legacy_comm(engine: Engine) -> None:
    answer = engine.ok(
        "from ipykernel.comm import Comm\nclass t_C(Comm): pass\nt_c = t_C(target_name='t', data={'z': 1})\nt_c.close()"
    )
    assert answer.one("comm_open")["data"] == {"z": 1}


def test_slider(engine: Engine) -> None:
    answer = engine.ok(
        "import ipywidgets; t_s = ipywidgets.IntSlider(value=3)\n"
        "t_s.observe(lambda c: print('moved', c['new']), 'value')\nt_s"
    )
    view = answer.one("execute_result")["data"]["application/vnd.jupyter.widget-view+json"]
    data = {"method": "update", "state": {"value": 9}, "buffer_paths": []}
    answer = engine.request("comm_msg", {"comm_id": view["model_id"], "data": data})
    assert answer.text() == "moved 9\n"
    assert engine.result("t_s.value") == "9"


def test_output_widget(engine: Engine) -> None:
    answer = engine.ok("import ipywidgets; t_o = ipywidgets.Output()\nwith t_o: print('inside')")
    states = [one["data"]["state"]["msg_id"] for one in answer.all("comm_msg")]
    assert states == [f"m{engine.serial}", ""]
    assert json.dumps(states)
