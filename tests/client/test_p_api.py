# SPDX-License-Identifier: BSD-3-Clause
"""Specification table, section P: what libraries look for."""

from collections.abc import Callable

import pytest
from launch import Kernel
from raw import Client, block

TRUE = [
    "get_ipython().__class__.__name__ == 'ZMQInteractiveShell'",
    "'IPKernelApp' in get_ipython().config",
    "'ipykernel' in sys.modules or importlib.util.find_spec('ipykernel') is not None",
    "isinstance(get_ipython(), importlib.import_module('ipykernel.zmqshell').ZMQInteractiveShell)",
    "importlib.import_module('IPython').get_ipython() is get_ipython()",
    "get_ipython().kernel.shell is get_ipython()",
    "get_ipython().kernel.user_ns is not None",
    "get_ipython().user_ns is globals()",
    "sys.modules['__main__'].__dict__ is globals()",
    "importlib.import_module('ipykernel.kernelapp').IPKernelApp.initialized()",
    "importlib.import_module('ipykernel.kernelapp').IPKernelApp.instance().kernel is get_ipython().kernel",
    "importlib.import_module('traitlets.config').Application.initialized()",
    "isinstance(get_ipython().kernel.session.session, str)",
    "callable(get_ipython().kernel.session.send)",
    "get_ipython().kernel.iopub_socket is not None",
    "hasattr(get_ipython().kernel, 'io_loop')",
    "hasattr(get_ipython().kernel, 'comm_manager')",
    "isinstance(get_ipython().kernel.execution_count, int)",
    "isinstance(get_ipython().kernel.ident, str)",
    "get_ipython().kernel.log.name != ''",
    "callable(get_ipython().kernel.raw_input) and callable(get_ipython().kernel.getpass)",
    "callable(get_ipython().kernel.send_response)",
    "callable(get_ipython().kernel.do_execute)",
    "isinstance(get_ipython().kernel.shell_handlers, dict) and isinstance(get_ipython().kernel.control_handlers, dict)",
    "'execute_request' in get_ipython().kernel.shell_handlers",
    "callable(getattr(get_ipython().kernel, 'do_one_iteration', print))",
    "isinstance(sys.stdout, importlib.import_module('ipykernel.iostream').OutStream)",
    "importlib.import_module('ipykernel').version_info >= (6,)",
    "importlib.import_module('ipykernel.comm').Comm is not None",
    "importlib.import_module('ipykernel.kernelbase').Kernel.instance() is get_ipython().kernel",
    "isinstance(get_ipython().kernel, importlib.import_module('ipykernel.ipkernel').IPythonKernel)",
    "get_ipython().kernel._parent_ident is not None",
]


@pytest.mark.parametrize("expression", TRUE)
def test_p_libraries_find(client: Client, expression: str) -> None:
    client.ok("import sys, importlib.util", store_history=False)
    assert client.evaluate(f"bool({expression})") is True


def test_p_connection_file_and_info(client: Client) -> None:
    client.ok("import ipykernel, json")
    path = client.evaluate("ipykernel.get_connection_file()")
    assert path.endswith("kernel.json")
    assert (
        client.evaluate("ipykernel.get_connection_info(unpack=True)['shell_port']") == client.connection.ports["shell"]
    )
    assert client.evaluate("json.loads(ipykernel.get_connection_info())['transport']") == client.connection.transport


def test_p_send_response(client: Client) -> None:
    result = client.ok(
        "k = get_ipython().kernel\nk.send_response(k.iopub_socket, 'stream', {'name': 'stdout', 'text': 'by hand'})"
    )
    assert result.stdout == "by hand"


def test_p_session_send(client: Client) -> None:
    result = client.ok(
        block("""
        k = get_ipython().kernel
        content = {'data': {'text/plain': 'sent'}, 'metadata': {}}
        m = k.session.send(k.iopub_socket, 'display_data', content, parent=k.get_parent())
    """)
    )
    assert result.one("display_data").content["data"] == {"text/plain": "sent"}


def test_p_raw_input_of_the_kernel(client: Client) -> None:
    msg_id = client.execute("get_ipython().kernel.raw_input('raw? ')", allow_stdin=True)
    request = client.recv_input_request(msg_id)
    assert request.content["prompt"] == "raw? "
    client.answer("x", request)
    assert client.collect(msg_id).text == "'x'"


def test_p_event_loop_is_reachable(client: Client) -> None:
    assert (
        client.ok("import asyncio; get_ipython().kernel.io_loop.asyncio_loop is asyncio.get_running_loop()").text
        == "True"
    )


def test_p_io_loop_call_later(client: Client) -> None:
    """Tornado users: bokeh, panel, dask."""
    result = client.ok("h = get_ipython().kernel.io_loop.call_later(0.02, print, 'later')")
    client.recv_stream(result.reply.parent["msg_id"], "later\n")


def test_p_nest_asyncio_does_no_harm(client: Client) -> None:
    code = block("""
        try:
            import nest_asyncio2 as nest
        except ImportError:
            import nest_asyncio as nest
        nest.apply()
        import asyncio
        asyncio.run(asyncio.sleep(0, 5))
    """)
    client.ok(code)
    assert client.ok("await asyncio.sleep(0, 6)").text == "6"


def test_p_rich_and_others_detect_a_notebook(client: Client) -> None:
    code = block("""
        def in_notebook():
            shell = get_ipython().__class__
            return 'google.colab' in str(shell) or shell.__name__ == 'ZMQInteractiveShell'
        in_notebook()
    """)
    assert client.ok(code).text == "True"


def test_p_what_few_ask_for_is_loaded_when_asked_for(fresh: Client) -> None:
    """Memory is paid for by each student."""
    loaded = "'pupitre.likeness' in __import__('sys').modules"
    fresh.ok("print(1); 2")
    assert fresh.evaluate(loaded) is False
    fresh.ok("get_ipython().kernel.banner")
    assert fresh.evaluate(loaded) is True


def test_p_io_loop_is_the_main_one_inside_asyncio_run(client: Client) -> None:
    client.ok("import asyncio\nasync def t(): return get_ipython().kernel.io_loop.asyncio_loop")
    assert client.ok("asyncio.run(t()) is asyncio.get_running_loop()").text == "True"


def test_p_pickle_and_main(client: Client) -> None:
    assert client.ok("import pickle\nclass P: x = 1\npickle.loads(pickle.dumps(P())).x").text == "1"
    assert client.ok("import __main__; __main__.P is P").text == "True"
    assert client.ok("hasattr(__main__, '__file__')").text == "False"


def test_p_embed_kernel_is_refused_with_words(client: Client) -> None:
    """Not supported, but it does not hang."""
    result = client.run("from IPython import embed; embed()", allow_stdin=False)
    assert result.content["ename"] == "StdinNotImplementedError"
    assert client.ok("1").text == "1"


def test_p_debugpy_listens_without_a_warning(launch: Callable[..., Kernel]) -> None:
    """In a kernel of its own: it traces threads."""
    client = launch().client()
    result = client.ok("import debugpy; address = debugpy.listen(('127.0.0.1', 0))", deadline=60)
    assert not result.stdout and not result.stderr
    client.drain()
