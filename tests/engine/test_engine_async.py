# SPDX-License-Identifier: BSD-3-Clause
"""spec M: asyncio in cells, and Stop in an await cell."""

import signal

import pytest
from fake import door
from harness import Engine

A = "import asyncio\n"


def test_top_level_await(engine: Engine) -> None:
    answer = engine.ok(A + "print('a')\nawait asyncio.sleep(0.01, 3)")
    assert answer.kinds == ["execute_input", "stdout", "execute_result"]
    assert answer.one("execute_result")["data"]["text/plain"] == "3"
    assert door.pending == (0, 0)


@pytest.mark.parametrize(
    "code",
    [
        "async def t_g():\n    yield 1\nasync for t_i in t_g(): print(t_i)",
        "class t_C:\n    async def __aenter__(self): print(1)\n    async def __aexit__(self, *_): pass\n"
        "async with t_C(): pass",
        "print([1 async for t_i in t_g()][0])",
    ],
)
def test_async_statements(engine: Engine, code: str) -> None:
    engine.ok("async def t_g():\n    yield 1")
    assert engine.ok(code).text() == "1\n"


def test_error_in_await_cell(engine: Engine) -> None:
    answer = engine.execute(A + "await asyncio.sleep(0)\n1/0")
    assert answer.one("error")["ename"] == "ZeroDivisionError" == answer.reply["ename"]
    assert answer.flags & door.ABORT_QUEUE


@pytest.mark.parametrize("code", ["'await'", "# async\n5", "def async_(): pass", "t_await = 1\nt_await"])
def test_the_word_alone_makes_no_task(engine: Engine, code: str) -> None:
    engine.ok("import asyncio")
    assert engine.ok(code + "\nprint(asyncio.current_task().get_name())").text() == "cell\n"


def test_plain_cell_sees_the_running_loop(engine: Engine) -> None:
    assert (
        engine.result(
            A + "asyncio.get_running_loop() is get_ipython().kernel.loop, asyncio.get_event_loop().is_running()"
        )
        == "(True, True)"
    )


def test_tasks_go_on_between_cells(engine: Engine) -> None:
    engine.ok(A + "async def t_f():\n    await asyncio.sleep(0.03); print('bg')\nt_task = asyncio.create_task(t_f())")
    messages = engine.run_for(0.15)
    assert [message.content["text"] for message in messages] == ["bg", "\n"]
    assert {message.serial for message in messages} == {engine.serial}
    assert engine.result("t_task.done()") == "True"


def test_asyncio_run_in_a_plain_cell(engine: Engine) -> None:
    assert engine.result(A + "asyncio.run(asyncio.sleep(0.01, 4))") == "4"
    assert engine.result("asyncio.get_running_loop() is get_ipython().kernel.loop") == "True"


def test_asyncio_run_imported_by_name(engine: Engine) -> None:
    assert engine.result("from asyncio.runners import run, Runner\nrun(asyncio.sleep(0, 4))") == "4"
    assert (
        engine.result("with Runner() as t_r: t_x = [t_r.run(asyncio.sleep(0, 5)), t_r.run(asyncio.sleep(0, 6))]\nt_x")
        == "[5, 6]"
    )


def test_another_loop_in_a_plain_cell(engine: Engine) -> None:
    code = A + "t_l = asyncio.new_event_loop()\nt_x = t_l.run_until_complete(asyncio.sleep(0, 7))\nt_l.close()\nt_x"
    assert engine.result(code) == "7"


def test_asyncio_run_that_fails_leaves_the_loop_as_it_was(engine: Engine) -> None:
    assert engine.execute(A + "async def t_f(): 1/0\nasyncio.run(t_f())").reply["ename"] == "ZeroDivisionError"
    assert engine.result("asyncio.get_running_loop().is_running()") == "True"


def test_asyncio_run_inside_a_task_refuses(engine: Engine) -> None:
    answer = engine.execute(
        A + "t_c = asyncio.sleep(0)\nasync def t_f(): asyncio.run(t_c)\ntry: await t_f()\nfinally: t_c.close()"
    )
    assert answer.reply["ename"] == "RuntimeError" and "running event loop" in answer.reply["evalue"]


def test_asyncio_run_beside_an_await(engine: Engine) -> None:
    """A statement that awaits nothing is plain, though the cell is a task."""
    code = A + "t_x = asyncio.run(asyncio.sleep(0.01, 1))\nt_y = await asyncio.sleep(0.01, 2)\n"
    code += "t_x, t_y, asyncio.current_task() is None"
    assert engine.result(code) == "(1, 2, False)"


def test_our_own_loop_cannot_be_run_again(engine: Engine) -> None:
    answer = engine.execute(
        A + "t_c = asyncio.sleep(0)\ntry:\n    asyncio.get_running_loop().run_until_complete(t_c)\n"
        "finally:\n    t_c.close()"
    )
    assert answer.reply["ename"] == "RuntimeError"


def test_stop_while_it_awaits(engine: Engine) -> None:
    answer = engine.execute(A + "await asyncio.sleep(60)", during=door.interrupt_wait)
    assert answer.one("error")["ename"] == "CancelledError" == answer.reply["ename"]
    assert engine.result("1") == "1"


def test_stop_that_the_cell_catches(engine: Engine) -> None:
    code = A + "try:\n    await asyncio.sleep(60)\nexcept asyncio.CancelledError:\n    print('caught')"
    answer = engine.ok(code, during=door.interrupt_wait)
    assert answer.text() == "caught\n"


def test_shielded_task_survives_stop(engine: Engine) -> None:
    code = A + "t_inner = asyncio.ensure_future(asyncio.sleep(0.2, 'kept'))\nawait asyncio.shield(t_inner)"
    assert engine.execute(code, during=door.interrupt_wait).reply["ename"] == "CancelledError"
    assert engine.result("await t_inner") == "'kept'"


def test_second_stop_when_the_first_was_swallowed(engine: Engine) -> None:
    code = A + "try:\n    await asyncio.sleep(60)\nexcept asyncio.CancelledError:\n    await asyncio.sleep(60)"

    def twice() -> None:
        door.interrupt_wait()
        engine.loop.call_later(0.05, door.interrupt_wait)

    assert engine.execute(code, during=twice).reply["ename"] == "CancelledError"


def test_stop_in_a_child_task(engine: Engine) -> None:
    """KeyboardInterrupt raised in another task's step ends run_forever; the cell must not be lost."""
    code = (
        A + "async def t_f():\n    await asyncio.sleep(0.01)\n    raise KeyboardInterrupt\n"
        "await asyncio.gather(t_f(), asyncio.sleep(60))"
    )
    assert engine.execute(code).reply["ename"] in ("KeyboardInterrupt", "CancelledError")


def test_stop_that_cost_a_wake_up(engine: Engine) -> None:
    """An interrupt between a future's result and its waiter's wake-up leaves the task asleep for ever; the cell is
    restarted.
    """
    code = A + "t_future = asyncio.get_running_loop().create_future()\nawait t_future"

    def lose() -> None:
        future = engine.shell.user_ns["t_future"]
        loop_call_soon, engine.loop.call_soon = engine.loop.call_soon, lambda *_, **__: None
        future.set_result(1)
        engine.loop.call_soon = loop_call_soon
        del engine.loop.call_soon
        raise KeyboardInterrupt

    assert engine.execute(code, during=lose).reply["ename"] == "CancelledError"
    assert engine.result("2") == "2"


def test_stop_pressed_twice_with_a_lost_wake_up(engine: Engine) -> None:
    code = A + "t_future = asyncio.get_running_loop().create_future()\nawait t_future"

    def lose() -> None:
        engine.loop.call_soon = lambda *_, **__: None
        engine.shell.user_ns["t_future"].set_result(1)
        del engine.loop.call_soon
        door.interrupt_wait()
        engine.loop.call_later(0.05, door.interrupt_wait)

    assert engine.execute(code, during=lose).reply["ename"] == "CancelledError"


def test_interrupt_asked_for_before_a_step(engine: Engine) -> None:
    """C wakes the loop when user code is entered; it must come out where the cell awaits."""
    serial = engine.serial + 1
    door.interrupt_entries = {serial: 4}
    try:
        answer = engine.execute(
            A + "try:\n    while True: await asyncio.sleep(0)\nexcept asyncio.CancelledError: print('here')"
        )
    finally:
        door.interrupt_entries = {}
    assert answer.text() == "here\n" and answer.reply["status"] == "ok"


def test_background_failures_do_not_end_the_kernel(engine: Engine) -> None:
    code = "async def t_f():\n    await asyncio.sleep(0)\n    raise {}\nt_task = asyncio.ensure_future(t_f())"
    for name in ("KeyboardInterrupt", "SystemExit", "ValueError"):
        engine.ok(A + code.format(name))
        try:
            engine.run_for(0.02)
        except (KeyboardInterrupt, SystemExit):
            pass
        engine.ok("t_task.exception() if t_task.done() else None")


def test_serve_outlives_what_escapes(engine: Engine) -> None:
    def escape() -> None:
        raise SystemExit

    engine.loop.call_later(0.01, escape)
    engine.loop.call_later(0.03, engine.loop.stop_serving)
    with engine.our_streams():
        engine.loop.serve()
    assert engine.loop.exiting
    engine.loop.exiting = False


def test_serve_outlives_handlers_that_raise_again_and_again(engine: Engine) -> None:
    left = [1, 2, 3]

    def ring(number: int, frame: object) -> None:
        if not left:
            signal.setitimer(signal.ITIMER_REAL, 0)
            engine.loop.call_soon_threadsafe(engine.loop.stop_serving)
            return
        raise TimeoutError(left.pop())

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
    try:
        with engine.our_streams():
            engine.loop.serve()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert engine.loop.exiting and not left
    engine.loop.exiting = False


def test_callbacks_are_user_code(engine: Engine) -> None:
    seen = []
    engine.loop.call_soon(lambda: seen.append(door.activity))
    engine.loop.call_later(0.01, lambda: seen.append(door.activity))
    engine.run_for(0.05)
    assert seen == [1, 1]


def test_parallel_threads_wake_the_loop(engine: Engine) -> None:
    code = A + "t_x = await asyncio.get_running_loop().run_in_executor(None, lambda: 5)\nt_x"
    assert engine.result(code) == "5"
