# SPDX-License-Identifier: BSD-3-Clause
"""Stop, wherever user code runs: what the kernel calls of the user's can be interrupted like a cell, in one press."""

import sys

import pytest
from launch import Kernel
from raw import Client, block, within
from test_h_control import READY

# `hang()`, and what calls it. One of each kind of thing that the kernel, or IPython for it, calls.
HANG = block("""
    import asyncio, gc, logging, signal, sys, time, warnings
    from IPython.display import display
    out = sys.stdout
    def hang(*args, **kwargs):
        if hangs and hangs.pop():
            print('ready', file=out, flush=True)
            while True: time.sleep(0.001)
    hangs = [1]
    shell = get_ipython()
    class Slow:
        def __repr__(self): hang(); return 'slow'
        def __iter__(self): hang(); return iter(())
        def __del__(self): hang()
        def item(self): hang(); return 1
    class Mute(Exception):
        def __str__(self): hangs.append(1); hang()
    class Meta(type):
        @property
        def __name__(cls): hang(); return 'name'
    class Nameless(Exception, metaclass=Meta): pass
""")
CASES = {
    "the text of an error": ("", "raise Mute"),
    "the text of an error in an await cell": ("", "await asyncio.sleep(0)\nraise Mute"),
    "the text of a cause": ("", "try: raise Mute\nexcept Mute: 1/0"),
    "the name of an error": ("", "raise Nameless"),
    "the text of an error in a user expression": ("", ""),
    "a result": ("", "Slow()"),
    "JSON of a payload": ("", "shell.payload_manager.write_payload({'source': 'x', 'data': Slow()})"),
    "JSON of a display": ("", "display({'application/json': Slow()}, raw=True)"),
    "an event": ("hangs.append(0)\nshell.events.register('post_run_cell', hang)", "1"),
    "an event of an await cell": (
        "hangs.append(0)\nshell.events.register('post_execute', hang)",
        "await asyncio.sleep(0)",
    ),
    "a transformer": ("shell.input_transformers_cleanup.append(lambda lines: hang() or lines)", "1"),
    "a transformer of an await cell": (
        "shell.input_transformers_cleanup.append(lambda lines: hang() or lines)",
        "await asyncio.sleep(0)",
    ),
    "a handler of exceptions": ("shell.set_custom_exc((KeyError,), hang)", "{}[1]"),
    "a warning of the compiler": (
        "warnings.showwarning = hang",
        "warnings.simplefilter('always')\nawait asyncio.sleep(0)\n1 is 1",
    ),
    "a displayhook": ("", "sys.displayhook = hang\n1"),
    "a stream": ("", "sys.stdout = type('S', (), {'write': hang, 'flush': hang})()\nsys.__stdout__\nprint(1)"),
    "a callback's arguments": (
        "",
        "asyncio.get_running_loop().call_soon(lambda slow: 1 / 0, Slow())\nawait asyncio.sleep(60)",
    ),
    "the loop's handler of exceptions": (
        "asyncio.get_running_loop().set_exception_handler(hang)",
        "asyncio.get_running_loop().call_soon(lambda: 1 / 0)\nawait asyncio.sleep(60)",
    ),
    "a handler of logs": (
        "logging.getLogger().addHandler(type('H', (logging.Handler,), {'emit': hang})())",
        "asyncio.get_running_loop().call_soon(lambda: 1 / 0)\nawait asyncio.sleep(60)",
    ),
    "a signal's handler": (
        "",
        "asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, hang)\n"
        "signal.raise_signal(signal.SIGUSR1)\nawait asyncio.sleep(60)",
    ),
    "a signal's handler while the loop waits": (
        "signal.signal(signal.SIGALRM, hang)",
        "signal.setitimer(signal.ITIMER_REAL, 0.1)\nawait asyncio.sleep(60)",
    ),
    "a finalizer": ("", "slow = Slow()\ndel slow"),
    "a finalizer of what escaped": (
        "def raise_past(*args, **kwargs):\n    del shell.run_cell\n    slow = Slow()\n    raise SystemError\n"
        "shell.run_cell = raise_past",
        "0",
    ),
}

if sys.version_info >= (3, 13):  # where asyncio shows no arguments
    del CASES["a callback's arguments"]


@pytest.mark.parametrize("name", CASES)
def test_h_whatever_the_kernel_calls_can_be_stopped(fresh: Client, kernel: Kernel, name: str) -> None:
    before, cell = CASES[name]
    fresh.ok(f"{HANG}\n{before}")
    expressions = {"slow": "Slow()"} if name == "the text of an error in a user expression" else {}
    msg_id = fresh.execute(cell, stop_on_error=False, user_expressions=expressions)
    fresh.recv_busy(msg_id)
    seen = ""
    while "ready" not in seen:
        message = fresh.recv_any(msg_id)
        seen += message.content.get("text", "")
    with within(3, f"Stop in {name}"):
        kernel.interrupt()
        fresh.recv_reply(msg_id)
    fresh.recv_idle_of(msg_id)
    assert fresh.run("hangs = []; sys.stdout = out; 1 + 1", stop_on_error=False).status == "ok"


# -- where nobody takes what is raised ---

LOST = {
    "a finalizer": "class Slow:\n    def __del__(self): hang()\nwhile True: Slow()",
    "a finalizer in an await cell": (
        "class Slow:\n    def __del__(self): hang()\nwhile True:\n    await asyncio.sleep(0)\n    Slow()"
    ),
    "the callback of a weak reference": (
        "class Thing: pass\nwhile True:\n    thing = Thing()\n    seen = weakref.ref(thing, hang)\n    del thing"
    ),
    "a callback of the collector": "gc.callbacks.append(hang)\nwhile True: gc.collect()",
    "a hook of fork()": (  # Stop is for children, too, and may come before this one has ended
        "def turn(how): signal.pthread_sigmask(how, {signal.SIGINT})\n"
        "os.register_at_fork(before=lambda: turn(signal.SIG_BLOCK))\n"
        "os.register_at_fork(after_in_parent=lambda: turn(signal.SIG_UNBLOCK) or hang())\n"
        "while True: os.waitpid(os.fork() or os._exit(0), 0)"
    ),
    "a callback of C": "call = ctypes.CFUNCTYPE(None)(hang)\nwhile True: call()",
}


@pytest.mark.parametrize("name", LOST)
def test_h_one_press_stops_a_cell_that_is_in(fresh: Client, kernel: Kernel, name: str) -> None:
    """Python only tells of what is raised there, so the press would be lost."""
    fresh.ok(
        block("""
        import asyncio, ctypes, gc, os, signal, time, weakref
        hangs = []
        def hang(*_):
            if hangs: print(hangs[0], flush=True); hangs[0] = ''; time.sleep(60)
    """)
    )
    cell = f"hangs.append('ready')\ntry:\n    {LOST[name].replace(chr(10), chr(10) + '    ')}\nfinally: hangs.clear()"
    msg_id = fresh.begin(cell, stop_on_error=False)
    with within(3, f"Stop in {name}"):
        kernel.interrupt()
        result = fresh.collect(msg_id, begun=True)
    assert result.content["ename"] in ("KeyboardInterrupt", "CancelledError")
    assert result.stderr == ""
    assert fresh.ok("1 + 1").text == "2"


def test_h_an_interrupt_that_a_finalizer_makes_itself_is_told(client: Client) -> None:
    result = client.ok("class Odd:\n    def __del__(self): raise KeyboardInterrupt('mine')\nOdd()\n5")
    assert result.text == "5" and "Exception ignored" in result.stderr and "mine" in result.stderr


@pytest.mark.parametrize("cell", ["ran.append(1)", "await asyncio.sleep(0)\nran.append(1)"])
@pytest.mark.parametrize("event", ["pre_execute", "pre_run_cell"])
def test_h_stop_before_a_cell_runs_stops_the_cell(fresh: Client, kernel: Kernel, event: str, cell: str) -> None:
    """IPython would tell of the interrupted callback and run the cell all the same."""
    fresh.ok(
        block(f"""
        import asyncio, time
        ran, hangs = [], [1]
        def hang(*_):
            if hangs and hangs.pop(): print('ready', flush=True); time.sleep(60)
        get_ipython().events.register({event!r}, hang)
    """)
    )
    msg_id = fresh.execute(cell, stop_on_error=False)
    while "ready" not in fresh.recv_any(msg_id).content.get("text", ""):
        pass
    with within(3):
        kernel.interrupt()
        assert fresh.recv_reply(msg_id).content["ename"] in ("KeyboardInterrupt", "CancelledError")
    fresh.recv_idle_of(msg_id)
    assert fresh.evaluate("ran") == []
    fresh.ok(f"get_ipython().events.register({event!r}, lambda *_: 1 / 0)")
    result = fresh.ok("ran")
    assert "Error in callback" in result.stdout and result.error["ename"] == "ZeroDivisionError"
    assert result.text == "[]"


def test_h_stop_while_a_magic_is_loaded_breaks_no_magic(fresh: Client, kernel: Kernel) -> None:
    """Neither the one that was on its way nor those of the class that is loaded next."""
    module = block("""
        import builtins, time
        from IPython.core.magic import Magics, line_magic, magics_class
        @magics_class
        class {0}(Magics):
            @line_magic
            def {1}(self, line): return '{1} ' + line
            if builtins.hangs.pop(): print('ready', flush=True); time.sleep(60)
    """)
    for name in ("first", "second"):
        (kernel.directory / f"{name}_magics.py").write_text(module.format(name.title(), name))
    fresh.ok(
        block("""
        import builtins
        builtins.hangs = [0, 0, 1]
        for name in ("first", "second"):
            get_ipython().magics_manager.register_lazy(name, f"{name}_magics:{name.title()}", "line")
    """)
    )
    msg_id = fresh.begin("%first a", stop_on_error=False)
    with within(3):
        kernel.interrupt()
        assert fresh.collect(msg_id, begun=True).content["ename"] == "KeyboardInterrupt"
    assert fresh.ok("%second b").text == "'second b'"
    assert fresh.ok("%first c").text == "'first c'"


# -- tasks that a cell awaits ---

WORK = block("""
    import asyncio, time
    async def work(n):
        if n == 2: print('ready', flush=True)
        while True:
            end = time.monotonic() + 0.02
            while time.monotonic() < end: pass
            await asyncio.sleep(0)
    tasks = []
    def start():
        tasks[:] = [asyncio.ensure_future(work(n)) for n in range(3)]
        return tasks
    async def group():
        async with asyncio.TaskGroup() as group:
            tasks[:] = [group.create_task(work(n)) for n in range(3)]
""")


@pytest.mark.parametrize(
    "cell",
    [
        "await asyncio.gather(*start())",
        "await asyncio.gather(*start(), return_exceptions=True)",
        "await group()",
        "async def inner(): await asyncio.gather(*start())\nawait asyncio.gather(inner())",
    ],
)
@pytest.mark.parametrize("what", ["computing", "waiting"])
def test_h_stop_ends_every_task_that_the_cell_awaits(
    client: Client, shared_kernel: Kernel, cell: str, what: str
) -> None:
    """Whichever of them was computing; as under asyncio.run, and at once."""
    client.ok(WORK)
    if what == "waiting":
        client.ok("async def work(n):\n    if n == 2: print('ready', flush=True)\n    await asyncio.sleep(60)")
    msg_id = client.begin(cell)
    with within(3):
        shared_kernel.interrupt()
        result = client.collect(msg_id, begun=True)
    if "return_exceptions" in cell and result.status == "ok":
        assert "KeyboardInterrupt" in result.text or "CancelledError" in result.text
    else:
        assert result.content["ename"] in ("KeyboardInterrupt", "CancelledError", "BaseExceptionGroup")
    client.ok("await asyncio.sleep(0)")
    assert client.evaluate("[len(tasks), all(task.done() for task in tasks)]") == [3, True]


@pytest.mark.parametrize("where", ["cell", "callback", "comm"])
def test_h_stop_after_a_nested_wait(client: Client, shared_kernel: Kernel, where: str) -> None:
    """What nest_asyncio does: the loop waits inside user code, which then goes on."""
    client.ok(
        block("""
        import asyncio, time
        def nested():
            asyncio.get_running_loop()._selector.select(0.01)
            print('ready', flush=True)
            while True: time.sleep(0.001)
        get_ipython().kernel.comm_manager.register_target('nested', lambda *_: nested())
    """)
    )
    if where == "comm":
        msg_id = client.send("comm_open", {"comm_id": "1", "target_name": "nested", "data": {}})
        client.recv_busy(msg_id)
        client.recv_stream(msg_id, "ready\n")
        with within(2):
            shared_kernel.interrupt()
            assert client.recv_idle(msg_id)
        client.drain()
        return
    code = "await asyncio.sleep(0)\nnested()"
    if where == "callback":
        code = "asyncio.get_running_loop().call_soon(nested)\nawait asyncio.sleep(60)"
    msg_id = client.begin(code)
    with within(2):
        shared_kernel.interrupt()
        assert client.collect(msg_id, begun=True).status == "error"


# -- handlers of SIGINT ---


def test_handler_stays_when_the_kernel_calls_the_users_code_in_mid_cell(client: Client, shared_kernel: Kernel) -> None:
    """As for the text of an error."""
    cell = client.execute(
        "import signal, time\nseen = []\nsignal.signal(signal.SIGINT, lambda *_: seen.append(1))\n"
        "try: 1/0\nexcept ZeroDivisionError: get_ipython().showtraceback()\n"
        + READY
        + "while not seen: time.sleep(0.01)\n5"
    )
    client.recv_busy(cell)
    for msg_type in ("execute_input", "error"):
        client.recv("iopub", msg_type, cell)
    client.recv_stream(cell, "ready\n")
    shared_kernel.interrupt()
    assert client.collect(cell, begun=True).text == "5"


@pytest.mark.parametrize(
    "handle",
    [
        "asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)",
        "signal.signal(signal.SIGINT, lambda *_: stop.set())",
    ],
)
@pytest.mark.parametrize("what", ["waits", "computes", "has a task that computes"])
def test_h_stop_calls_the_handler_of_an_await_cell(
    client: Client, shared_kernel: Kernel, handle: str, what: str
) -> None:
    """A pasted server shuts down by itself. The cell after it is interrupted as ever."""
    waits = {
        "waits": "await stop.wait()",
        "computes": "while not stop.is_set(): await asyncio.sleep(0)",
        "has a task that computes": "await asyncio.gather(busy(), busy(), stop.wait())",
    }
    cell = block(f"""
        import asyncio, signal
        stop = asyncio.Event()
        async def busy():
            while not stop.is_set(): await asyncio.sleep(0)
        {handle}
        await asyncio.sleep(0.05)
        print('ready', flush=True)
        {waits[what]}
        print('shut down')
    """)
    msg_id = client.begin(cell)
    shared_kernel.interrupt()
    result = client.collect(msg_id, begun=True)
    assert result.status == "ok" and result.stdout == "shut down\n"
    msg_id = client.begin(READY + "await asyncio.sleep(60)")
    with within(2):
        shared_kernel.interrupt()
        assert client.collect(msg_id, begun=True).status == "error"


def test_h_a_handler_that_raises_is_told_and_ends_the_cell(client: Client, shared_kernel: Kernel) -> None:
    cell = (
        "import asyncio, signal\nsignal.signal(signal.SIGINT, lambda *_: 1 / 0)\n" + READY + "await asyncio.sleep(60)"
    )
    msg_id = client.begin(cell)
    shared_kernel.interrupt()
    result = client.collect(msg_id, begun=True)
    assert result.status == "error" and "ZeroDivisionError" in result.stderr + result.content["ename"]


def test_h_ignored_in_an_await_cell(client: Client, shared_kernel: Kernel) -> None:
    cell = (
        "import asyncio, signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n" + READY + "await asyncio.sleep(0.5)\n5"
    )
    msg_id = client.begin(cell)
    shared_kernel.interrupt()
    assert client.collect(msg_id, begun=True).text == "5"


# -- the collector and tracers are the user's ---


@pytest.mark.parametrize(
    "on, off",
    [
        ("gc.callbacks.append(look); gc.set_threshold(1)", "gc.callbacks.clear(); gc.set_threshold(*threshold)"),
        ("sys.setprofile(look)", "sys.setprofile(None)"),
    ],
)
def test_h_nothing_of_the_users_runs_in_our_code(fresh: Client, on: str, off: str) -> None:
    """The garbage collector has its turns, and tracers theirs, below a cell or a callback."""
    fresh.ok(
        block(f"""
        import gc, sys
        stacks = set()
        def look(*_):
            frame, names = sys._getframe(1), []
            while frame is not None:
                names.append(frame.f_code.co_name)
                frame = frame.f_back
            stacks.add(tuple(names))
        threshold = gc.get_threshold()
        {on}
    """)
    )
    for n in range(3):
        fresh.ok(f"1 + {n}", deadline=30, user_expressions={"n": "1"})
        fresh.request("comm_info_request")
    fresh.ok(off, deadline=30)
    stacks = fresh.evaluate("[list(names) for names in stacks]")
    ours = [names for names in stacks if not {"_run", "_in_context", "_compose"} & set(names)]
    assert stacks and not ours, ours


# A press of Stop in the instant between the making of a cell's coroutine and its first step.
STOPPED_BEFORE_IT_BEGAN = block("""
    import os, signal
    shell = get_ipython()
    usual = shell.should_run_async
    def stopped(*args, **options):
        del shell.should_run_async
        os.kill(os.getpid(), signal.SIGINT)
        return usual(*args, **options)
    shell.should_run_async = stopped
""")


def test_h_a_cell_that_is_stopped_before_it_begins(fresh: Client) -> None:
    """Nothing is shown of the coroutine that IPython had made for it."""
    fresh.ok(STOPPED_BEFORE_IT_BEGAN, silent=True)
    reply = fresh.run("print('begun')")
    assert reply.content["ename"] == "KeyboardInterrupt" and reply.stdout == reply.stderr == ""
    fresh.ok("import gc, sys; sys.last_value = sys.last_traceback = sys.last_exc = None")
    done = fresh.ok("gc.collect(); print('on')")
    assert (done.stdout, done.stderr) == ("on\n", "")


LAZY_MAGIC = block("""
    import os, signal
    from IPython.core.magic import Magics, line_magic, magics_class
    if not hasattr(os, 'stopped'):
        os.stopped = True
        os.kill(os.getpid(), signal.SIGINT)
    @magics_class
    class Slow(Magics):
        @line_magic
        def slow(self, line): return 'loaded'
""")


def test_h_a_magic_whose_loading_was_stopped_is_loaded_again(fresh: Client, kernel: Kernel) -> None:
    (kernel.directory / "slow_magic.py").write_text(LAZY_MAGIC)
    fresh.ok(f"import sys; sys.path.insert(0, {str(kernel.directory)!r})")
    fresh.ok("get_ipython().magics_manager.register_lazy('slow', 'slow_magic:Slow')")
    assert fresh.run("%slow").content["ename"] == "KeyboardInterrupt"
    assert fresh.ok("%slow").text == "'loaded'"
