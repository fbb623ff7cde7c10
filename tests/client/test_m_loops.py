# SPDX-License-Identifier: BSD-3-Clause
"""Loops of libraries, and libraries that ask which loop runs, in plain cells and in await cells."""

import re

import pytest
from launch import Kernel
from raw import PACKAGE, Client, block, within

UVLOOP = {
    "runner": "with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner: print(runner.run(main()))",
    "run": "print(uvloop.run(main()))",
    "loop": block("""
        loop = uvloop.new_event_loop()
        print(loop.run_until_complete(main()))
        loop.close()
    """),
    "forever": block("""
        loop = uvloop.new_event_loop()
        task = loop.create_task(main())
        task.add_done_callback(lambda task: loop.stop())
        loop.run_forever()
        print(task.result())
        loop.close()
    """),
}


@pytest.mark.parametrize("way", UVLOOP)
@pytest.mark.parametrize("cell", ["plain", "await"])
def test_m_uvloop_beside_the_kernels_loop(client: Client, way: str, cell: str) -> None:
    """Its loops are not derived from asyncio's. They end cleanly, and the kernel's goes on."""
    before = "await asyncio.sleep(0)\n" if cell == "await" else ""
    client.ok(
        block("""
        import asyncio, uvloop
        async def main():
            await asyncio.sleep(0.01)
            return type(asyncio.get_running_loop()).__module__
    """)
    )
    result = client.ok(before + UVLOOP[way])
    assert result.stdout == "uvloop\n" and result.stderr == ""
    assert client.ok("await asyncio.sleep(0, 'still')").text == "'still'"
    assert client.ok("asyncio.get_running_loop() is get_ipython().kernel.loop").text == "True"


def test_m_uvloop_inside_a_task_refuses(client: Client) -> None:
    code = block("""
        import asyncio, uvloop
        async def inside():
            loop = uvloop.new_event_loop()
            waits = asyncio.sleep(0)
            try: loop.run_until_complete(waits)
            finally: waits.close(); loop.close()
        await inside()
    """)
    assert client.run(code).content["ename"] == "RuntimeError"


@pytest.mark.parametrize("before", ["", "import asyncio; await asyncio.sleep(0)\n"])
def test_m_sniffio_finds_asyncio(client: Client, before: str) -> None:
    client.ok("import sniffio")
    assert client.ok(before + "sniffio.current_async_library()").text == "'asyncio'"


def test_m_sniffio_in_what_a_widget_calls(client: Client) -> None:
    client.ok(
        block("""
        import sniffio
        found = []
        def opened(comm, message): found.append(sniffio.current_async_library())
        get_ipython().kernel.comm_manager.register_target('sniff', opened)
    """)
    )
    comm = client.send("comm_open", {"comm_id": "sniff", "target_name": "sniff", "data": {}})
    client.recv_busy(comm)
    client.recv_idle(comm)
    assert client.evaluate("found") == ["asyncio"]


@pytest.mark.parametrize("run", ["asyncio.run(main())", "anyio.run(main)"])
def test_m_what_runs_a_loop_goes_on_to_work(client: Client, run: str) -> None:
    """Though there is a current task now, and a library that looks for one finds it."""
    client.ok(
        block("""
        import anyio, asyncio, sniffio
        async def main():
            await anyio.sleep(0.01)
            return sniffio.current_async_library()
    """)
    )
    assert client.ok(run).text == "'asyncio'"
    assert client.ok(f"await asyncio.sleep(0)\n{run}").text == "'asyncio'"
    assert client.ok("sniffio.current_async_library()").text == "'asyncio'"


def test_m_the_task_of_plain_cells(client: Client) -> None:
    """Nobody waits for it by accident, and cancelling it harms nobody."""
    assert client.ok("import asyncio\nasyncio.current_task() in asyncio.all_tasks()").text == "False"
    assert client.ok("asyncio.current_task().cancel()").text == "True"
    result = client.ok("asyncio.current_task().get_name(), asyncio.current_task().done()")
    assert result.text == "('cell', False)" and result.stderr == ""
    code = "await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}), return_exceptions=True)"
    assert client.ok(code).text == "[]"


def test_m_the_coroutine_of_an_await_cell_is_one_like_any(client: Client) -> None:
    code = block("""
        import asyncio, inspect, io
        await asyncio.sleep(0)
        task = asyncio.current_task()
        coroutine, out = task.get_coro(), io.StringIO()
        task.print_stack(file=out)
        async def look():
            return inspect.getcoroutinestate(coroutine), coroutine.cr_await is not None, task.get_stack() != []
        print(inspect.iscoroutine(coroutine), inspect.getcoroutinestate(coroutine), coroutine.cr_code.co_name)
        print(*await asyncio.create_task(look()))
    """)
    assert client.ok(code).stdout == "True CORO_RUNNING run_cell_async\nCORO_SUSPENDED True True\n"


AWAITS = "def awaits(lines): return [line.replace('SLEEP', 'await asyncio.sleep(0, 5)') for line in lines]\n"


def test_m_a_cell_that_a_transformer_makes_await(fresh: Client) -> None:
    """And each transformer sees each cell once."""
    fresh.ok("import asyncio\nseen = []\n" + AWAITS)
    fresh.ok("get_ipython().input_transformers_cleanup.append(awaits)")
    assert fresh.ok("SLEEP").text == "5"
    assert fresh.ok("x = SLEEP\nx + 1").text == "6"
    fresh.ok("get_ipython().input_transformers_post.append(lambda lines: seen.append(lines[0]) or lines)")
    fresh.ok("'plain'")
    fresh.ok("SLEEP")
    assert fresh.ok("seen").text == "[\"'plain'\\n\", 'await asyncio.sleep(0, 5)\\n', 'seen\\n']"


def test_m_a_transformer_that_raises_runs_once(fresh: Client) -> None:
    fresh.ok(
        block("""
        calls = []
        def refuse(lines):
            calls.append(1)
            if 'no' in lines[0]: raise KeyError(lines)
            return lines
    """)
    )
    fresh.ok("get_ipython().input_transformers_cleanup.append(refuse)")
    assert fresh.run("no").content["ename"] == "KeyError"
    assert fresh.ok("get_ipython().input_transformers_cleanup.remove(refuse); len(calls)").text == "2"


@pytest.mark.parametrize("callback", ["loop.call_soon(broken, 5)", "loop.call_later(0.01, broken, 5)"])
def test_m_a_callback_that_fails_is_told_by_its_name(client: Client, callback: str) -> None:
    code = (
        f"import asyncio\ndef broken(x): 1/0\nloop = asyncio.get_running_loop()\n{callback}\nawait asyncio.sleep(0.1)"
    )
    result = client.ok(code)
    # Its arguments are shown before Python 3.13 only.
    assert re.search(r"Exception in callback broken\(5?\) at ", result.stderr) and "handle: <" in result.stderr
    assert "call_user" not in result.stderr and "ZeroDivisionError" in result.stderr
    assert client.ok(f"h = {callback}\nh.cancel()\nrepr(h)").text.startswith("'<")


def test_m_handles_show_the_users_callback(client: Client) -> None:
    code = "import asyncio\nloop = asyncio.get_running_loop()\n[loop.call_soon(len, ''), loop.call_later(1e3, len, '')]"
    text = client.ok(code).text
    assert len(re.findall(r"len\((?:'')?\)", text)) == 2 and "<Handle " in text and "<TimerHandle " in text


def test_m_what_is_wrapped_looks_as_it_did(client: Client) -> None:
    """Functions and methods that the kernel puts something around: names, signature, source, pickle."""
    code = block("""
        import asyncio, copy, inspect, pickle, types
        from asyncio import run
        print(run.__name__, run.__module__, inspect.signature(run), inspect.isfunction(run), callable(run))
        print(pickle.loads(pickle.dumps(run)) is run, copy.deepcopy(run) is run, inspect.getdoc(run) is not None)
        publish = get_ipython().display_pub.publish
        print(isinstance(publish, types.MethodType), 'transient' in inspect.signature(publish).parameters)
        run.mark = 1
        print(run.mark, inspect.getsource(input)[:9], inspect.ismethod(get_ipython().set_next_input))
    """)
    said = client.ok(code).stdout.splitlines()
    assert said[0].startswith("run asyncio.runners (main, *") and said[0].endswith(" True True")
    assert said[1:] == ["True True True", "True True", "1 @door.uns True"]


# -- nobody sees our inside (the client of these tests looks at every message, too) ---

BUNDLE = "from IPython.display import display\n"
INSIDE = {
    "a magic that is gone": ("get_ipython().magic('pwd')", "AttributeError"),
    "an await below %%capture": ("%%capture\nimport asyncio\nawait asyncio.sleep(0)", "RuntimeError"),
    "the loop that runs": (
        "import asyncio\nw = asyncio.sleep(0)\ntry: asyncio.get_event_loop().run_until_complete(w)\nfinally: w.close()",
        "RuntimeError",
    ),
    "asyncio.run": ("import asyncio\nasync def bad(): 1/0\nasyncio.run(bad())", "ZeroDivisionError"),
    "a closed loop": (
        "import asyncio\nl = asyncio.new_event_loop(); l.close()\nw = asyncio.sleep(0)\n"
        "try: l.run_until_complete(w)\nfinally: w.close()",
        "RuntimeError",
    ),
    "a display that is no bundle": ("from IPython.display import display\ndisplay(3, raw=True)", "TypeError"),
    "a display that is no JSON": (
        "from IPython.display import display\nx = []\nx.append(x)\ndisplay({'application/json': x}, raw=True)",
        "ValueError",
    ),
    "a repr": ("class R:\n    def __repr__(self): 1/0\nR()", "ZeroDivisionError"),
    "a stream": ("import sys\nsys.stdout.read()", "UnsupportedOperation"),
    "a magic": ("%less /nowhere", "FileNotFoundError"),
    "a question": ("input()", "StdinNotImplementedError"),
    "a timer": ("import asyncio\nasyncio.get_running_loop().call_later('x', len)", "TypeError"),
    "a group": (
        BUNDLE + "try: display(3, raw=True)\nexcept TypeError as e: raise ExceptionGroup('', [e])",
        "ExceptionGroup",
    ),
    "a cause": (BUNDLE + "try: display(3, raw=True)\nexcept TypeError as e: raise KeyError from e", "KeyError"),
}


@pytest.mark.parametrize("name", INSIDE)
def test_m_a_traceback_shows_nothing_of_the_kernel(client: Client, name: str) -> None:
    code, ename = INSIDE[name]
    result = client.run(code)
    assert result.error["ename"] == ename and ename in result.traceback
    assert PACKAGE not in result.traceback


@pytest.mark.parametrize("name", [name for name in INSIDE if name not in ("a repr", "an await below %%capture")])
def test_m_nor_does_one_that_python_prints(client: Client, name: str) -> None:
    """By the traceback module, logging, or the hook of a thread."""
    code, ename = INSIDE[name]
    cell = block(f"""
        import logging, threading, traceback
        code = compile({code!r}, 'code', 'exec') if not {code!r}.startswith('%') else None
        def run():
            if code is None: get_ipython().run_line_magic('less', '/nowhere')
            else: exec(code, globals())
        try: run()
        except BaseException: traceback.print_exc(); logging.exception('x')
        if 'asyncio' not in {code!r}:
            thread = threading.Thread(target=run); thread.start(); thread.join()
    """)
    shown = client.ok(cell).stderr
    assert shown.count("Traceback") >= 2 and ename in shown and PACKAGE not in shown


def test_m_stop_in_a_long_repr_shows_the_repr(client: Client, shared_kernel: Kernel) -> None:
    client.ok("class R:\n    def __repr__(self):\n        print('ready', flush=True)\n        while True: pass")
    cell = client.begin("R()")
    with within(3):
        shared_kernel.interrupt()
        result = client.collect(cell, begun=True)
    assert "__repr__" in result.traceback and "display" not in result.traceback


@pytest.mark.parametrize("ask", ["input('? ')", "__import__('getpass').getpass('? ')"])
def test_m_stop_of_a_question_shows_the_cells_line(client: Client, shared_kernel: Kernel, ask: str) -> None:
    cell = client.execute(f"x = 1\nanswer = {ask}", allow_stdin=True)
    client.recv_input_request(cell)
    shared_kernel.interrupt()
    result = client.collect(cell)
    frames = [line for line in result.traceback.splitlines() if line.startswith(("Cell In", "File "))]
    assert len(frames) == 1 and frames[0].endswith("line 2") and result.content["ename"] == "KeyboardInterrupt"
