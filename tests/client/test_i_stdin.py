# SPDX-License-Identifier: BSD-3-Clause
"""Specification table, section I, and hazard P20: input() and getpass()."""

from collections.abc import Callable

import pytest
from launch import Kernel
from raw import Client, Message, Result, within

ABSENT = "The code asks for input, but this client does not listen on its stdin channel. Interrupt to go on.\n"


def ask(client: Client, code: str) -> tuple[str, Message]:
    msg_id = client.execute(code, allow_stdin=True)
    return msg_id, client.recv_input_request(msg_id)


def dialogue(client: Client, code: str, *answers: str) -> Result:
    msg_id = client.execute(code, allow_stdin=True)
    for answer in answers:
        client.answer(answer, client.recv_input_request(msg_id))
    return client.collect(msg_id)


def test_i_input_request(client: Client) -> None:
    msg_id, request = ask(client, "input('name? ')")
    assert request.content == {"prompt": "name? ", "password": False}
    assert request.parent["msg_id"] == msg_id
    client.answer("Ada Lovelace 𝄞", request)
    assert client.collect(msg_id).text == "'Ada Lovelace 𝄞'"


@pytest.mark.parametrize(
    ("code", "prompt"),
    [
        ("input()", ""),
        ("input(42)", "42"),
        ("input(prompt='kw ')", "kw "),
        ("input(None)", "None"),
        ("input(['a'])", "['a']"),
    ],
)
def test_i_prompts_are_made_text(client: Client, code: str, prompt: str) -> None:
    msg_id, request = ask(client, code)
    assert request.content["prompt"] == prompt
    client.answer("", request)
    assert client.collect(msg_id).text == "''"


def test_i_output_is_flushed_before_asking(client: Client) -> None:
    msg_id = client.execute("import sys; print('out', end=''); input('?')", allow_stdin=True)
    request = client.recv_input_request(msg_id)
    client.recv_busy(msg_id)
    client.recv_input(msg_id)
    client.recv_stream(msg_id, "out")
    client.answer("x", request)
    assert client.collect(msg_id, begun=True).text == "'x'"


def test_i_answer_of_many_megabytes(client: Client) -> None:
    """Whatever a cell may hold, an answer may."""
    assert dialogue(client, "len(input())", "x" * (5 << 20)).text == str(5 << 20)


def test_i_several_questions(client: Client) -> None:
    code = "names = [input(f'{n}: ') for n in range(5)]; names"
    assert dialogue(client, code, *"abcde").text == "['a', 'b', 'c', 'd', 'e']"


def test_i_getpass(client: Client) -> None:
    msg_id, request = ask(client, "import getpass; getpass.getpass('secret: ')")
    assert request.content == {"prompt": "secret: ", "password": True}
    client.answer("hunter2", request)
    assert client.collect(msg_id).text == "'hunter2'"


def test_i_getpass_with_a_stream_warns(client: Client) -> None:
    code = "import getpass, sys, warnings; warnings.simplefilter('always'); getpass.getpass(stream=sys.stderr)"
    result = dialogue(client, code, "x")
    assert result.text == "'x'" and "UserWarning" in result.stderr


def test_i_end_of_file(client: Client) -> None:
    assert dialogue(client, "input()", "\x04").content["ename"] == "EOFError"


def test_i_missing_value_is_empty(client: Client) -> None:
    msg_id, request = ask(client, "input()")
    client.answer(None, request)
    assert client.collect(msg_id).text == "''"


def test_i_not_allowed(client: Client) -> None:
    result = client.run("input('?')")
    assert result.content["ename"] == "StdinNotImplementedError"
    text = "raw_input was called, but this frontend does not support input requests."
    assert result.content["evalue"] == text
    result = client.run("import getpass; getpass.getpass()")
    assert result.content["ename"] == "StdinNotImplementedError"
    assert result.content["evalue"] == "getpass was called, but this frontend does not support input requests."


def test_i_only_the_requester_is_asked(client: Client, shared_kernel: Kernel) -> None:
    other = shared_kernel.client()
    msg_id, request = ask(client, "input('mine')")
    other.sync()
    client.answer("x", request)
    client.collect(msg_id)
    other.sync()
    assert other.inbox == []


def test_i_late_answer_does_not_satisfy_the_next_question(client: Client, shared_kernel: Kernel) -> None:
    msg_id, request = ask(client, "input('one')")
    shared_kernel.interrupt()
    assert client.collect(msg_id).content["ename"] == "KeyboardInterrupt"
    client.answer("late", request)
    client.sync()
    msg_id, request = ask(client, "input('two')")
    client.answer("right", request)
    assert client.collect(msg_id).text == "'right'"


def test_i_late_answer_does_not_satisfy_a_question_that_is_open(client: Client, shared_kernel: Kernel) -> None:
    msg_id, first = ask(client, "input('one')")
    shared_kernel.interrupt()
    assert client.collect(msg_id).content["ename"] == "KeyboardInterrupt"
    msg_id, second = ask(client, "input('two')")
    client.answer("late", first)
    client.answer("right", second)
    assert client.collect(msg_id).text == "'right'"


def test_i_answer_before_the_question_is_stale(client: Client) -> None:
    msg_id, request = ask(client, "input('one')")
    for value in ("first", "second", "third"):
        client.answer(value, request)
    assert client.collect(msg_id).text == "'first'"
    msg_id, request = ask(client, "input('two')")
    client.answer("right", request)
    assert client.collect(msg_id).text == "'right'"


def test_i_forged_answers_are_ignored(client: Client) -> None:
    """Unsigned, wrongly signed, garbage."""
    msg_id, request = ask(client, "input()")
    for _ in range(100):
        frames = client.frames(client.header("input_reply"), {"value": "forged"}, parent=request.header)
        client.send_frames("stdin", [frames[0], b"", *frames[2:]])
        client.send_frames("stdin", [frames[0], b"0" * 64, *frames[2:]])
        client.send_frames("stdin", [b"garbage"])
    client.answer("genuine", request)
    assert client.collect(msg_id).text == "'genuine'"


def test_i_answers_of_other_types_are_ignored(client: Client) -> None:
    msg_id, request = ask(client, "input()")
    client.send("nonsense", {"value": "wrong"}, channel="stdin", parent=request.header)
    client.answer("right", request)
    assert client.collect(msg_id).text == "'right'"


def test_i_other_channels_live_while_waiting(client: Client) -> None:
    msg_id, request = ask(client, "input()")
    with within(1):
        assert client.request("kernel_info_request", channel="control").status == "ok"
        client.heartbeat()
    client.answer("x", request)
    assert client.collect(msg_id).text == "'x'"


def test_i_tasks_and_threads_go_on_while_waiting(client: Client) -> None:
    code = "import threading\nthreading.Thread(target=lambda: print('thread', flush=True)).start()\ninput()"
    msg_id, request = ask(client, code)
    client.recv_busy(msg_id)
    client.recv_input(msg_id)
    client.recv_stream(msg_id, "thread\n")
    client.answer("x", request)
    assert client.collect(msg_id, begun=True).text == "'x'"


def test_i_input_in_an_await_cell(client: Client) -> None:
    assert dialogue(client, "import asyncio; await asyncio.sleep(0); input('?')", "x").text == "'x'"


def test_i_input_called_by_libraries(client: Client) -> None:
    """They look it up in builtins at call time."""
    assert dialogue(client, "import builtins\ndef f(ask=builtins.input): return ask('?')\nf()", "x").text == "'x'"


def test_i_large_answer(client: Client) -> None:
    assert dialogue(client, "len(input())", "é" * 200_000).text == "200000"


def test_i_sys_stdin_is_at_end_of_file(client: Client) -> None:
    assert client.ok("import sys; sys.stdin.read()").text == "''"
    assert client.ok("import os; os.read(0, 1)").text == "b''"


def test_i_breakpoint_and_pdb(client: Client) -> None:
    """pdb asks through the front end."""
    result = dialogue(client, "x = 7\nbreakpoint()\nx", "p x * 6", "c")
    assert "42" in result.stdout and result.status == "ok"


@pytest.mark.parametrize("before", ["", "print(1)\n", "def f(): pass\n", "await __import__('asyncio').sleep(0)\n"])
@pytest.mark.parametrize("call", ["breakpoint()", "import pdb; pdb.set_trace()", "None or breakpoint()"])
def test_i_breakpoint_as_the_last_line_stops_in_the_cell(client: Client, before: str, call: str) -> None:
    """With the cell's names, and its source; not in what shows its result."""
    result = dialogue(client, f"{before}seven = 7\n{call}", "p seven * 6", "p __name__", "c")
    assert "42\n" in result.stdout and "'__main__'\n" in result.stdout, result.stdout
    assert "displayhook" not in result.stdout


def test_i_pdb_without_stdin(client: Client) -> None:
    assert client.run("breakpoint()").content["ename"] == "StdinNotImplementedError"
    assert client.ok("1").text == "1"


def test_i_debug_magic(client: Client) -> None:
    client.run("def f(value): return value / 0\nf(21)")
    result = dialogue(client, "%debug", "p value * 2", "q")
    assert "42" in result.stdout


def test_i_requester_that_left(shared_kernel: Kernel, client: Client) -> None:
    """Its question can be interrupted; nobody else is stuck."""
    leaver = shared_kernel.client()
    ask(leaver, "input()")
    shared_kernel.clients.remove(leaver)
    leaver.close()
    msg_id = client.send("interrupt_request", channel="control")
    client.collect(msg_id)
    assert client.run("1", stop_on_error=False).status in ("ok", "aborted")
    assert client.ok("2").text == "2"


def asked_in_vain(late: Client) -> Result:
    """A cell that asks a client without a stdin channel, until it is told and stopped."""
    msg_id = late.execute("input()", allow_stdin=True)
    late.recv_busy(msg_id)
    late.recv_input(msg_id)
    late.recv_stream(msg_id, ABSENT, "stderr")
    late.collect(late.send("interrupt_request", channel="control"))
    return late.collect(msg_id, begun=True)


def test_i_a_client_whose_stdin_channel_comes_after_its_cell(shared_kernel: Kernel) -> None:
    """A page that is loaded anew opens its channels one after the other."""
    late = shared_kernel.client(stdin=False)
    assert asked_in_vain(late).status == "error"
    msg_id = late.execute("input()", allow_stdin=True)
    late.recv_busy(msg_id)
    late.open("stdin")
    late.answer("here", late.recv_input_request(msg_id))
    assert late.collect(msg_id, begun=True).text == "'here'"


def test_i_a_kernel_that_dies_while_its_client_is_looked_for(launch: Callable[..., Kernel]) -> None:
    kernel = launch()
    late = kernel.client(stdin=False)
    asked_in_vain(late)
    die = "import os, threading; threading.Timer(0.2, os.kill, (os.getpid(), 9)).start(); input()"
    assert late.run(die, allow_stdin=True).status == "error"
    assert kernel.wait_exit() == -9


ASK_IN_A_THREAD = """
import threading
outcome = []
def wait():
    try:
        outcome.append(input('Enter to stop'))
    except BaseException as error:
        outcome.append(error)
thread = threading.Thread(target=wait)
thread.start()
"""


def test_i_a_question_ends_with_its_request(client: Client) -> None:
    """A thread asks, and the cell ends first: nobody waits for an answer that cannot come."""
    msg_id, request = ask(client, ASK_IN_A_THREAD)
    assert client.collect(msg_id).status == "ok"
    assert client.ok("thread.join(20); repr(outcome)").data["text/plain"] == (
        "\"[EOFError('the cell that asked for input has ended')]\""
    )
    client.answer("late", request)
    assert dialogue(client, "input('next? ')", "right").text == "'right'"


def test_i_a_thread_that_asks_costs_no_reply(client: Client, shared_kernel: Kernel) -> None:
    """While a thread waits for its answer the main thread alone takes requests, whatever these are."""
    msg_id, _ = ask(client, ASK_IN_A_THREAD + "import time\nwhile not outcome: time.sleep(0.01)")
    waiting = [client.request("kernel_info_request", channel="control").status]
    shared_kernel.interrupt()
    assert client.collect(msg_id).content["ename"] == "KeyboardInterrupt"
    for number in range(30):
        if number % 3 == 0:
            assert client.request("execute_request", {"code": number}).status == "error"
        assert client.run("1/0").content["ename"] == "ZeroDivisionError"
        assert client.request("complete_request", {}).status == "error"
    assert waiting == ["ok"]


def test_i_a_thread_is_answered_while_the_cell_runs(client: Client) -> None:
    msg_id, request = ask(client, ASK_IN_A_THREAD + "thread.join(20)\noutcome")
    client.answer("stop", request)
    assert client.collect(msg_id).text == "['stop']"


def test_i_two_threads_are_asked_one_after_the_other(client: Client) -> None:
    code = """
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(2) as pool:
    answers = sorted(pool.map(input, ['?', '?']))
answers
"""
    assert dialogue(client, code, "a", "b").text == "['a', 'b']"


@pytest.mark.parametrize(
    "asks",
    ["asyncio.create_task(later())", "threading.Thread(target=in_thread, args=[kernel.get_parent()]).start()"],
    ids=["task", "thread"],
)
def test_i_the_client_of_an_earlier_request_is_asked(shared_kernel: Kernel, client: Client, asks: str) -> None:
    """Code of an earlier cell asks while another client's cell runs: in the name of the earlier request."""
    code = f"""
import asyncio, threading
kernel = get_ipython().kernel
go, done, got = threading.Event(), threading.Event(), []
async def later():
    while not go.is_set(): await asyncio.sleep(0.001)
    got.append(input('whose? ')); done.set()
def in_thread(parent):
    go.wait(20); kernel.set_parent(None, parent)
    got.append(input('whose? ')); done.set()
{asks}
None
"""
    earlier = client.execute(code, allow_stdin=True)
    client.collect(earlier)
    other = shared_kernel.client()
    waits = "go.set()\nwhile not done.is_set(): await asyncio.sleep(0.001)\ngot"
    msg_id = other.execute(waits, allow_stdin=True)
    client.answer("mine", client.recv_input_request(earlier))
    assert other.collect(msg_id).text == "['mine']"


def test_i_shutdown_ends_a_question(kernel: Kernel, fresh: Client) -> None:
    msg_id, _ = ask(fresh, "try: input('?')\nexcept BaseException as error: print(type(error).__name__)")
    fresh.send("shutdown_request", {"restart": False}, channel="control")
    result = fresh.collect(msg_id)
    assert result.stdout.strip() in ("EOFError", "KeyboardInterrupt") and kernel.wait_exit() == 0
    fresh.drain()
