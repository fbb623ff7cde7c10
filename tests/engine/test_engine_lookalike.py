# SPDX-License-Identifier: BSD-3-Clause
"""spec P: what libraries look for."""

import pytest
from harness import Engine


def test_names_at_start(engine: Engine) -> None:
    assert (
        engine.result("type(get_ipython()).__name__, type(get_ipython()).__module__")
        == "('ZMQInteractiveShell', 'ipykernel.zmqshell')"
    )
    assert engine.result("import sys; 'ipykernel' in sys.modules and 'ipykernel.zmqshell' in sys.modules") == "True"
    assert engine.result("'IPKernelApp' in get_ipython().config") == "True"


@pytest.mark.parametrize(
    ("module", "name", "ours"),
    [
        ("zmqshell", "ZMQInteractiveShell", "isinstance(get_ipython(), t_x)"),
        ("zmqshell", "ZMQDisplayPublisher", "isinstance(get_ipython().display_pub, t_x)"),
        ("displayhook", "ZMQShellDisplayHook", "isinstance(get_ipython().displayhook, t_x)"),
        ("iostream", "OutStream", "isinstance(sys.stdout, t_x) and isinstance(sys.stderr, t_x)"),
        ("kernelbase", "Kernel", "isinstance(get_ipython().kernel, t_x) and t_x.instance() is get_ipython().kernel"),
        ("ipkernel", "IPythonKernel", "isinstance(get_ipython().kernel, t_x)"),
        ("kernelapp", "IPKernelApp", "t_x.initialized() and t_x.instance().kernel is get_ipython().kernel"),
        ("comm", "Comm", "callable(t_x)"),
        ("comm.manager", "CommManager", "callable(t_x)"),
        ("connect", "get_connection_file", "t_x().endswith('c.json')"),
        ("jsonutil", "json_clean", "t_x({1: {2}}) == {'1': [2]}"),
        ("embed", "embed_kernel", "callable(t_x)"),
    ],
)
def test_submodules(engine: Engine, module: str, name: str, ours: str) -> None:
    assert engine.result(f"import sys; from ipykernel.{module} import {name} as t_x\n{ours}") == "True"


def test_package(engine: Engine) -> None:
    assert (
        engine.result("import ipykernel; ipykernel.version_info >= (6, 18), ipykernel.__version__.count('.')")
        == "(True, 2)"
    )
    assert engine.result("ipykernel.get_connection_file().endswith('c.json')") == "True"
    assert engine.execute("ipykernel.nonsense").reply["ename"] == "AttributeError"
    assert engine.execute("from ipykernel.embed import embed_kernel; embed_kernel()").reply["ename"] == "RuntimeError"


def test_found_again_when_removed(engine: Engine) -> None:
    code = (
        "import sys\n"
        "for t_n in [n for n in sys.modules if n.startswith('ipykernel')]: del sys.modules[t_n]\n"
        "import ipykernel\nipykernel.__file__"
    )
    assert "lookalike" in engine.result(code)
    engine.ok("import ipykernel.zmqshell")


def test_connection_info(engine: Engine) -> None:
    (engine.home / "c.json").write_text('{"key": "k", "shell_port": 1}')
    assert engine.result("ipykernel.get_connection_info(unpack=True)") == "{'key': b'k', 'shell_port': 1}"
    assert "jupyter <app> --existing c.json" in engine.ok("%connect_info").text()


def test_kernel_attributes(engine: Engine) -> None:
    for code in (
        "t_k.shell is get_ipython()",
        "t_k.user_ns is globals()",
        "t_k.comm_manager is __import__('comm').get_comm_manager()",
        "t_k.execution_count == get_ipython().execution_count",
        "t_k.ident == 'uuid' and t_k.session.session == 's'",
        "t_k.io_loop.asyncio_loop is t_k.loop",
        "t_k.iopub_thread.is_alive() and t_k.eventloop is None",
        "t_k.log is get_ipython().log is t_k.parent.log",
        "'execute_request' in t_k.shell_handlers and t_k.control_handlers == {}",
        "not hasattr(t_k, 'do_one_iteration')",
    ):
        assert engine.result("t_k = get_ipython().kernel\n" + code) == "True", code


def test_do_execute(engine: Engine) -> None:
    code = (
        "t_k = get_ipython().kernel\nt_a = await t_k.do_execute('t_z = 1', False, user_expressions={'v': 't_z + 1'})\n"
    )
    code += (
        "t_b = await t_k.do_execute('1/0', True, False)\n"
        "t_a['user_expressions']['v']['data']['text/plain'], t_b['ename']"
    )
    assert engine.result(code) == "('2', 'ZeroDivisionError')"


def test_sending_by_hand(engine: Engine) -> None:
    answer = engine.ok(
        "t_k = get_ipython().kernel\n"
        "t_k.send_response(t_k.iopub_socket, 'display_data', {'data': {'text/plain': 'a'}, 'metadata': {}})\n"
        "t_k.session.send(t_k.iopub_socket, t_k.session.msg('display_data', "
        "{'data': {'text/plain': 'b'}}), ident=b'topic', buffers=[b'x'])\n"
        "t_k.session.send(t_k.stdin_socket, 'x')"
    )
    shown = [message for message in answer.messages if message.type == "display_data"]
    assert [message.content["data"]["text/plain"] for message in shown] == ["a", "b"]
    assert shown[1].topic == b"topic" and shown[1].buffers == [b"x"]


def test_io_loop_without_tornado(engine: Engine) -> None:
    from pupitre.compat import LoopShim

    seen = []
    shim = LoopShim(engine.loop)

    async def later() -> None:
        seen.append("coroutine")

    shim.add_callback(seen.append, 1)
    shim.call_later(0.01, later)
    engine.run_for(0.05)
    assert seen == [1, "coroutine"]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (
            "import warnings; warnings.simplefilter('ignore'); from tqdm.autonotebook import tqdm as t_q; "
            "t_q.__module__",
            "'tqdm.notebook'",
        ),
        ("from pandas.io.formats.console import in_ipython_frontend; in_ipython_frontend()", "True"),
    ],
)
def test_libraries_recognise_the_notebook(engine: Engine, code: str, expected: str) -> None:
    assert engine.result(code) == expected


def test_environment(engine: Engine) -> None:
    code = "import os; [os.environ.get(n) for n in ('TERM', 'CLICOLOR', 'PAGER', 'GIT_PAGER')]"
    assert engine.result(code) == "['xterm-color', '1', 'cat', 'cat']"
    assert engine.result("os.environ['MPLBACKEND']") == "'module://matplotlib_inline.backend_inline'"


def test_main_module(engine: Engine) -> None:
    assert (
        engine.result("__name__, '__file__' in globals(), get_ipython().user_ns is globals()")
        == "('__main__', False, True)"
    )
    assert engine.result("import sys; sys.path.index('') > 0") == "True"


def test_faulthandler(engine: Engine) -> None:
    engine.ok(
        "import faulthandler; t_on = faulthandler.is_enabled(); faulthandler.enable()\n"
        "if not t_on: faulthandler.disable()"
    )
