# SPDX-License-Identifier: BSD-3-Clause
"""Specification table, section M: the event loop, top-level await, matplotlib."""

import base64

import pytest
from raw import Client, block


def test_m_await(client: Client) -> None:
    result = client.ok("import asyncio\nprint('a'); await asyncio.sleep(0.01); print('b')\n5")
    assert result.stdout == "a\nb\n" and result.text == "5"


def test_m_async_for_and_with(client: Client) -> None:
    code = (
        "import asyncio, contextlib\nasync def gen():\n    for n in range(3): yield n\n"
        "@contextlib.asynccontextmanager\nasync def ctx():\n    yield 'inside'\n"
        "async with ctx() as c: print(c)\nasync for n in gen(): print(n)\n[n async for n in gen()]"
    )
    result = client.ok(code)
    assert result.stdout == "inside\n0\n1\n2\n" and result.text == "[0, 1, 2]"


def test_m_await_error(client: Client) -> None:
    result = client.run("import asyncio\nawait asyncio.sleep(0)\n1/0")
    assert result.content["ename"] == "ZeroDivisionError" and f"Cell In[{result.count}], line 3" in result.traceback


def test_m_loop_runs_in_plain_cells(client: Client) -> None:
    client.ok("import asyncio; loop = asyncio.get_running_loop()")
    assert client.evaluate("[isinstance(loop, asyncio.SelectorEventLoop), loop.is_running()]") == [True, True]
    assert client.ok("asyncio.get_running_loop() is loop").text == "True"


def test_m_tasks_go_on_between_cells(client: Client) -> None:
    client.ok(
        block("""
        import asyncio
        n = 0
        async def count():
            global n
            while n < 5:
                await asyncio.sleep(0.01); n += 1
            done.set()
        done = asyncio.Event(); task = asyncio.create_task(count())
    """)
    )
    client.ok("await asyncio.wait_for(done.wait(), 5)")
    assert client.evaluate("n") == 5


def test_m_tasks_go_on_while_idle(client: Client) -> None:
    """Nobody asks for anything: the callback fires on time."""
    result = client.ok("import asyncio\nloop = asyncio.get_running_loop()\nh = loop.call_later(0.1, print, 'fired')")
    client.recv_stream(result.reply.parent["msg_id"], "fired\n")


def test_m_asyncio_run_works(client: Client) -> None:
    """As in a script; the running loop is back afterwards."""
    code = block("""
        import asyncio
        async def main(x):
            await asyncio.sleep(0.01)
            return asyncio.get_running_loop(), x
        before = asyncio.get_running_loop()
        inner, value = asyncio.run(main(7))
        value, inner is before, asyncio.get_running_loop() is before
    """)
    assert client.ok(code).text == "(7, False, True)"
    assert client.ok("await asyncio.sleep(0, 'still')").text == "'still'"


def test_m_asyncio_run_of_an_error(client: Client) -> None:
    assert (
        client.run("import asyncio\nasync def bad(): raise KeyError('x')\nasyncio.run(bad())").content["ename"]
        == "KeyError"
    )
    assert client.ok("await asyncio.sleep(0, 1)").text == "1"


def test_m_asyncio_run_several_times(client: Client) -> None:
    code = block("""
        import asyncio
        async def main(n):
            await asyncio.sleep(0)
            return n
        [asyncio.run(main(n)) for n in range(20)]
    """)
    assert client.ok(code).text == str(list(range(20)))


def test_m_asyncio_run_inside_await_cell(client: Client) -> None:
    code = "import asyncio\nasync def main(): return 5\nawait asyncio.sleep(0)\nasyncio.run(main())"
    assert client.ok(code).text == "5"
    assert client.ok("await asyncio.sleep(0, 1)").text == "1"


def test_m_asyncio_runner_and_task_group(client: Client) -> None:
    code = block("""
        import asyncio
        async def one(n):
            await asyncio.sleep(0.001); return n
        async def main():
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(n)) for n in range(5)]
            return [t.result() for t in tasks]
        with asyncio.Runner() as runner: print(runner.run(main()))
        await main()
    """)
    result = client.ok(code)
    assert result.stdout == "[0, 1, 2, 3, 4]\n" and result.text == "[0, 1, 2, 3, 4]"


def test_m_shield_and_cancel(client: Client) -> None:
    code = (
        "import asyncio\nasync def work():\n    await asyncio.sleep(0.05); return 'finished'\n"
        "task = asyncio.ensure_future(work())\nouter = asyncio.ensure_future(asyncio.shield(task))\n"
        "await asyncio.sleep(0); outer.cancel()\n"
        "try: await outer\nexcept asyncio.CancelledError: print('outer cancelled')\nawait task"
    )
    result = client.ok(code)
    assert result.stdout == "outer cancelled\n" and result.text == "'finished'"


def test_m_timeout(client: Client) -> None:
    result = client.run("import asyncio\nasync with asyncio.timeout(0.01): await asyncio.sleep(10)")
    assert result.content["ename"] == "TimeoutError"


def test_m_unretrieved_task_exception_is_shown(client: Client) -> None:
    result = client.ok(
        "import asyncio, gc\nasync def bad(): raise ValueError('nobody looked')\n"
        "t = asyncio.create_task(bad()); await asyncio.sleep(0)\ndel t; gc.collect();"
    )
    assert "nobody looked" in result.stderr


def test_m_messages_wait_for_an_await_cell(client: Client) -> None:
    cell = client.execute("import asyncio; await asyncio.sleep(0.2); print('cell')")
    after = client.execute("print('after')")
    first, second = client.collect(cell), client.collect(after)
    assert first.stdout == "cell\n" and second.stdout == "after\n"
    assert first.reply.received <= second.reply.received


@pytest.mark.parametrize("off", ["%autoawait False"])
def test_m_autoawait_off(client: Client, off: str) -> None:
    client.ok(off)
    assert client.run("import asyncio; await asyncio.sleep(0)").content["ename"] == "SyntaxError"
    client.ok("%autoawait asyncio")
    assert client.ok("await asyncio.sleep(0, 3)").text == "3"


def test_m_servers_and_clients_between_cells(client: Client) -> None:
    """A stream server lives in the loop; a later cell talks to it."""
    client.ok(
        block("""
        import asyncio
        async def serve(reader, writer):
            writer.write((await reader.readline()).upper()); await writer.drain(); writer.close()
        server = await asyncio.start_server(serve, '127.0.0.1', 0)
        port = server.sockets[0].getsockname()[1]
    """)
    )
    code = "r, w = await asyncio.open_connection('127.0.0.1', port); w.write(b'hello\\n'); await r.readline()"
    assert client.ok(code).text == "b'HELLO\\n'"
    client.ok("server.close()")


def test_m_subprocess_of_asyncio(client: Client) -> None:
    code = block("""
        import asyncio
        p = await asyncio.create_subprocess_exec('echo', 'x', stdout=asyncio.subprocess.PIPE)
        (await p.communicate())[0]
    """)
    assert client.ok(code).text == "b'x\\n'"


def test_m_to_thread_and_executor(client: Client) -> None:
    assert client.ok("import asyncio; await asyncio.to_thread(lambda: 6 * 7)").text == "42"


def test_m_loop_stopped_by_user(fresh: Client) -> None:
    """loop.stop() in a cell does not end the kernel."""
    fresh.run("import asyncio; asyncio.get_running_loop().stop()")
    assert fresh.ok("1").text == "1"


def test_m_event_loop_policy_and_new_loops(client: Client) -> None:
    code = block("""
        import asyncio
        new = asyncio.new_event_loop()
        try: new.run_until_complete(asyncio.sleep(0))
        except RuntimeError as e: print('refused')
        finally: new.close()
    """)
    client.ok(code)
    assert client.ok("await asyncio.sleep(0, 1)").text == "1"


# -- gui and matplotlib ---


def test_m_gui_unknown(client: Client) -> None:
    result = client.run("%gui nonsense")
    assert "nonsense" in result.stderr + str(result.content)
    assert client.ok("%gui inline").status == "ok"


def test_m_matplotlib_inline_without_asking(fresh: Client) -> None:
    result = fresh.ok("import matplotlib.pyplot as plt\nplt.plot([1, 2, 3])\n'result'", deadline=60)
    assert result.types()[-2:] == ["execute_result", "display_data"]
    data = result.one("display_data").content["data"]
    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG") and "text/plain" in data
    figure = fresh.run("plt.figure(); plt.plot([3, 1]); 1/0", deadline=30)
    assert figure.types()[-2:] == ["error", "display_data"]
    shown = fresh.ok("plt.plot([1]); plt.show(); print('after show')", deadline=30)
    assert shown.types() == ["execute_input", "display_data", "stdout"]
    assert fresh.ok("%matplotlib inline").status == "ok"
    assert fresh.evaluate("__import__('os').environ['MPLBACKEND']").startswith("module://matplotlib_inline")
