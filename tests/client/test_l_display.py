# SPDX-License-Identifier: BSD-3-Clause
"""Specification table, section L: display_data, execute_result, error, Out and its friends."""

import base64

import pytest
from raw import Client, block


def test_l_display_data(client: Client) -> None:
    result = client.ok("print('before'); display(5); print('after')")
    assert result.types() == ["execute_input", "stdout", "display_data", "stdout"]
    assert result.one("display_data").content == {"data": {"text/plain": "5"}, "metadata": {}, "transient": {}}


def test_l_display_raw_bundle_with_metadata(client: Client) -> None:
    content = (
        client.ok(
            "display({'text/plain': 'p', 'text/html': '<b>h</b>'}, raw=True, metadata={'text/html': {'isolated': 1}})"
        )
        .one("display_data")
        .content
    )
    assert content["data"] == {"text/plain": "p", "text/html": "<b>h</b>"}
    assert content["metadata"] == {"text/html": {"isolated": 1}}


def test_l_display_id_and_update(client: Client) -> None:
    result = client.ok("handle = display(1, display_id=True); handle.update(2)")
    assert result.types() == ["execute_input", "display_data", "update_display_data"]
    first, second = result.messages[1:]
    assert first.content["transient"]["display_id"] == second.content["transient"]["display_id"]
    assert second.content["data"] == {"text/plain": "2"} and second.identities == first.identities
    later = client.ok("handle.update(3)").one("update_display_data")
    assert later.content["transient"] == first.content["transient"]


def test_l_display_from_a_thread(client: Client) -> None:
    result = client.ok("import threading; t = threading.Thread(target=display, args=(7,)); t.start(); t.join()")
    assert result.one("display_data").content["data"] == {"text/plain": "7"}


def test_l_clear_output(client: Client) -> None:
    result = client.ok(
        "from IPython.display import clear_output\nprint('x'); clear_output(wait=True); print('y'); clear_output()"
    )
    assert result.types() == ["execute_input", "stdout", "clear_output", "stdout", "clear_output"]
    assert [m.content for m in result.all("clear_output")] == [{"wait": True}, {"wait": False}]


def test_l_publish_requires_a_dict(client: Client) -> None:
    assert client.run("get_ipython().display_pub.publish('text')").content["ename"] == "TypeError"


def test_l_execute_result(client: Client) -> None:
    result = client.ok("list(range(3))")
    content = result.one("execute_result").content
    assert content == {"data": {"text/plain": "[0, 1, 2]"}, "metadata": {}, "execution_count": result.count}


def test_l_execute_result_is_pretty(client: Client) -> None:
    text = client.ok("{'key ' + str(n): list(range(10)) for n in range(10)}").text
    assert text.count("\n") >= 9


def test_l_rich_reprs(client: Client) -> None:
    data = client.ok(
        "class Rich:\n    def _repr_html_(self): return '<i>r</i>'\n    def _repr_latex_(self): return '$x$'\n"
        "    def __repr__(self): return 'plain'\nRich()"
    ).data
    assert data == {"text/html": "<i>r</i>", "text/latex": "$x$", "text/plain": "plain"}


def test_l_mimebundle_with_metadata(client: Client) -> None:
    content = (
        client.ok(
            "class B:\n    def _repr_mimebundle_(self, include=None, exclude=None):\n"
            "        return {'text/x': 'v'}, {'text/x': {'k': 1}}\nB()"
        )
        .one("execute_result")
        .content
    )
    assert content["data"]["text/x"] == "v" and content["metadata"] == {"text/x": {"k": 1}}


def test_l_ipython_display_method_makes_no_result(client: Client) -> None:
    result = client.ok("class D:\n    def _ipython_display_(self): print('shown')\nD()")
    assert result.types() == ["execute_input", "stdout"]


def test_l_none_makes_no_result(client: Client) -> None:
    assert client.ok("None").types() == ["execute_input"]


def test_l_png_bytes_are_base64(client: Client) -> None:
    data = client.ok("class P:\n    def _repr_png_(self): return b'\\x89PNG\\r\\n'\nP()").data
    assert base64.b64decode(data["image/png"]) == b"\x89PNG\r\n"


def test_l_failing_repr_of_one_format_keeps_the_others(client: Client) -> None:
    result = client.run(
        "class H:\n    def _repr_html_(self): raise ValueError('html')\n    def __repr__(self): return 'plain'\nH()"
    )
    assert result.text == "plain" and result.error["ename"] == "ValueError"
    assert client.ok("1").text == "1"


def test_l_out_and_underscores(fresh: Client) -> None:
    fresh.ok("11")
    fresh.ok("12")
    fresh.ok("13")
    assert fresh.evaluate("[_, __, ___, _1, _2, Out[3], _oh[1], In[1], _i, _ii, _i1, len(_dh)]") == [
        13, 12, 11, 11, 12, 13, 11, "11", "12", "11", "11", 1,
    ]  # fmt: skip


def test_l_underscore_of_the_user_is_kept(fresh: Client) -> None:
    fresh.ok("_ = 'mine'")
    fresh.ok("5")
    assert fresh.evaluate("_") == "mine"


def test_l_display_hooks(client: Client) -> None:
    """As the Output widget uses them: return None to swallow."""
    client.ok(
        block("""
        kept = []
        def hook(message): kept.append(message['msg_type'])
        get_ipython().display_pub.register_hook(hook)
    """)
    )
    assert client.ok("display(1); from IPython.display import clear_output; clear_output()").types() == [
        "execute_input"
    ]
    client.ok("get_ipython().display_pub.unregister_hook(hook)")
    assert client.evaluate("kept") == ["display_data", "clear_output"]
    assert client.ok("display(1)").types() == ["execute_input", "display_data"]


def test_l_error(client: Client) -> None:
    result = client.run("def f():\n    raise KeyError('é𝄞')\nf()")
    error = result.error
    assert set(error) == {"ename", "evalue", "traceback"}
    assert error["ename"] == "KeyError" and error["evalue"] == "'é𝄞'"
    assert any("\x1b[" in line for line in error["traceback"])
    assert "Cell In[" in result.traceback and "line 2" in result.traceback and "line 3" in result.traceback


def test_l_error_chain(client: Client) -> None:
    traceback = client.run(
        "try:\n    1/0\nexcept ZeroDivisionError as e:\n    raise ValueError('outer') from e"
    ).traceback
    assert "ZeroDivisionError" in traceback and "ValueError" in traceback and "direct cause" in traceback


@pytest.mark.parametrize("mode", ["Plain", "Minimal", "Verbose", "Context"])
def test_l_xmode(client: Client, mode: str) -> None:
    client.ok(f"%xmode {mode}")
    result = client.run("1/0")
    client.ok("%xmode Context")
    assert "ZeroDivisionError" in result.traceback


def test_l_render_traceback(client: Client) -> None:
    result = client.run(
        "class E(Exception):\n    def _render_traceback_(self): return ['line one', 'line two']\nraise E"
    )
    assert result.error["traceback"] == ["line one", "line two"]


def test_l_custom_exception_handler(client: Client) -> None:
    client.ok(
        "get_ipython().set_custom_exc((LookupError,), lambda s, t, v, tb, tb_offset=None: print('handled', t.__name__))"
    )
    assert "handled KeyError" in client.run("raise KeyError(1)").stdout
    client.ok("get_ipython().set_custom_exc((), None)")


def test_l_tb_magic_and_last_exception(client: Client) -> None:
    client.run("1/0")
    result = client.run("%tb")
    assert "ZeroDivisionError" in result.stdout + str(result.all("error"))
    assert client.evaluate("__import__('sys').last_value.__class__.__name__") == "ZeroDivisionError"


def test_l_pandas_table(client: Client) -> None:
    data = client.ok("import pandas; pandas.DataFrame({'a': [1, 2]})", deadline=40).data
    assert "<table" in data["text/html"] and "a" in data["text/plain"]


def test_l_tqdm_notebook(client: Client) -> None:
    """The bar of tqdm.auto is a widget, because it recognises the kernel."""
    result = client.ok("from tqdm.auto import tqdm\nfor _ in tqdm(range(3)): pass", deadline=40)
    bundles = [m.content["data"] for m in result.all("display_data")]
    assert any("application/vnd.jupyter.widget-view+json" in bundle for bundle in bundles)


def test_l_large_display(client: Client) -> None:
    result = client.ok("display({'text/html': 'é' * 5_000_000}, raw=True)")
    assert len(result.one("display_data").content["data"]["text/html"]) == 5_000_000
