# SPDX-License-Identifier: BSD-3-Clause
"""spec L and M: display, results, figures."""

import base64
import sys

import pytest
from harness import Engine
from pupitre.display import ZMQDisplayHook


def test_display_data(engine: Engine) -> None:
    answer = engine.ok(
        "print('before'); display({'text/plain': 'x'}, raw=True, metadata={'text/plain': {'a': 1}}); print('after')"
    )
    assert answer.kinds == ["execute_input", "stdout", "display_data", "stdout"]
    assert answer.one("display_data") == {
        "data": {"text/plain": "x"},
        "metadata": {"text/plain": {"a": 1}},
        "transient": {},
    }
    assert answer.messages[3].topic == b"display_data"


def test_display_id_and_update(engine: Engine) -> None:
    answer = engine.ok("t_h = display(1, display_id='q'); t_h.update(2)")
    assert answer.one("display_data")["transient"] == {"display_id": "q"}
    assert answer.one("update_display_data") == {
        "data": {"text/plain": "2"},
        "metadata": {},
        "transient": {"display_id": "q"},
    }


def test_clear_output(engine: Engine) -> None:
    assert engine.ok("from IPython.display import clear_output; clear_output(wait=True)").one("clear_output") == {
        "wait": True
    }


def test_publish_checks_its_arguments(engine: Engine) -> None:
    with pytest.raises(TypeError):
        engine.shell.display_pub.publish("x")
    with pytest.raises(TypeError):
        engine.shell.display_pub.publish({}, metadata=1)


@pytest.mark.parametrize("call", ["display(t_X())", "t_X()"])
def test_bytes_become_base64(engine: Engine, call: str) -> None:
    answer = engine.ok(f"class t_X:\n    def _repr_png_(self): return b'\\x89PNG'\n{call}")
    data = (answer.all("display_data") + answer.all("execute_result"))[0]["data"]
    assert base64.b64decode(data["image/png"]) == b"\x89PNG" and "text/plain" in data


def test_ipython_display_leaves_no_result(engine: Engine) -> None:
    answer = engine.ok("class t_X:\n    def _ipython_display_(self): print('shown')\nt_X()")
    assert answer.all("execute_result") == [] and answer.text() == "shown\n"


def test_display_hooks(engine: Engine) -> None:
    answer = engine.ok(
        "t_seen = []\ndef t_hook(message):\n    t_seen.append(message['msg_type'])\n"
        "    message['content']['data'] = {'text/plain': 'changed'}\n"
        "    return message\npub = get_ipython().display_pub\npub.register_hook(t_hook)\ndisplay(1)\n"
        "pub.unregister_hook(t_hook), display(2)"
    )
    assert [one["data"]["text/plain"] for one in answer.all("display_data")] == ["changed", "2"]
    assert engine.shell.user_ns["t_seen"] == ["display_data"]
    keep = engine.shell.displayhook
    keep.register_hook(lambda message: None)
    try:
        assert engine.ok("5").all("execute_result") == []
    finally:
        keep._hooks.list.clear()


def test_mime_renderers(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []
    renderers = {"application/x-test": lambda data, metadata: seen.append(data)}
    monkeypatch.setattr(engine.shell, "mime_renderers", renderers, raising=False)
    assert engine.ok("display({'application/x-test': 'd'}, raw=True)").all("display_data") == []
    assert seen == ["d"]


def test_numbers_and_odd_values_in_messages(engine: Engine) -> None:
    answer = engine.ok(
        "display({'application/json': {'a': float('nan'), 'b': 2**70, 'c': b'x', 'd': '\\ud800', "
        "'e': '\\0'}}, raw=True)"
    )
    assert answer.one("display_data")["data"]["application/json"] == {
        "a": None,
        "b": 2**70,
        "c": "eA==",
        "d": "\ud800",
        "e": "\0",
    }


def test_data_that_cannot_be_a_message_is_the_cells_error(engine: Engine) -> None:
    answer = engine.execute("t_d = {}; t_d['x'] = t_d; display({'application/json': t_d}, raw=True)")
    assert answer.reply["status"] == "error" and answer.reply["ename"] == "ValueError"


def test_capture(engine: Engine) -> None:
    answer = engine.ok("%%capture t_c\nprint('o'); display(7)\n8")
    assert answer.kinds == ["execute_input"]
    assert engine.result("t_c.stdout, len(t_c.outputs)") == r"('o\n', 2)"


def test_displayhook_outside_cells(engine: Engine) -> None:
    with engine.our_streams():
        saved, sys.displayhook = sys.displayhook, ZMQDisplayHook(engine.shell)
        try:
            sys.displayhook(12)
            sys.displayhook(None)
        finally:
            sys.displayhook = saved
    assert engine.collect(0, 0).one("execute_result")["data"] == {"text/plain": "12"}


def test_old_results_are_culled(engine: Engine) -> None:
    hook = engine.shell.displayhook
    saved, hook.cache_size = hook.cache_size, 3
    engine.ok("Out.clear()")
    try:
        with pytest.warns(UserWarning, match="cache limit"):
            for number in range(8):
                engine.ok(str(number))
        assert len(engine.shell.user_ns["Out"]) <= 4
    finally:
        hook.cache_size = saved


def test_figures_are_flushed_also_after_an_error(engine: Engine) -> None:
    draw = "import matplotlib.pyplot as plt; plt.plot([1, 2]); plt.gcf().set_size_inches(1, 1)"
    engine.ok("import matplotlib.pyplot as plt; plt.close('all')")
    answer = engine.execute(f"{draw}; 1/0")
    assert answer.kinds[-2:] == ["error", "display_data"]
    assert "image/png" in answer.one("display_data")["data"]
    answer = engine.ok(f"{draw}\n'r'")
    assert answer.kinds[-2:] == ["execute_result", "display_data"]
    answer = engine.ok(f"{draw}\nawait __import__('asyncio').sleep(0)")
    assert answer.kinds[-1] == "display_data"
