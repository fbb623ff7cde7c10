# SPDX-License-Identifier: BSD-3-Clause
"""Specification table, section K: stdout, stderr, descriptors 1 and 2, forks, floods. Hazards P15, K4."""

import re
import time

import pytest
from launch import Kernel
from raw import Client, block, within

# -- order and parents ---


def test_k_streams_are_flushed_before_everything_else(client: Client) -> None:
    result = client.run(
        "print('a'); display(1); print('b'); from IPython.display import clear_output; clear_output(); print('c'); 1/0"
    )
    assert result.types() == ["execute_input", "stdout", "display_data", "stdout", "clear_output", "stdout", "error"]


def test_k_stdout_and_stderr_keep_their_order(client: Client) -> None:
    code = "import sys\nfor n in range(5): print('o', n); print('e', n, file=sys.stderr)"
    result = client.ok(code)
    assert result.stdout == "".join(f"o {n}\n" for n in range(5))
    assert result.stderr == "".join(f"e {n}\n" for n in range(5))


OTHERS = {
    "os.write": "os.write(1, b'other %d\\n' % n)",
    "C": "libc.puts(b'other %d' % n); libc.fflush(None)",
    "a program": "subprocess.run(['echo', 'other', str(n)])",
    "a fork": "if os.fork() == 0: print('other', n); os._exit(0)\n    os.wait()",
}


@pytest.mark.parametrize("other", OTHERS)
def test_k_print_and_text_of_others_in_the_order_in_which_they_were_made(client: Client, other: str) -> None:
    count = 20 if other in ("a program", "a fork") else 200
    code = f"import ctypes, os, subprocess\nlibc = ctypes.CDLL(None)\nfor n in range({count}):\n    "
    expected = "".join(f"own {n}\nother {n}\n" for n in range(count))
    assert client.ok(f"{code}print('own', n)\n    {OTHERS[other]}").stdout == expected
    expected = "".join(f"other {n}\nown {n}\n" for n in range(count))
    assert client.ok(f"{code}{OTHERS[other]}\n    print('own', n)").stdout == expected


def test_k_displays_and_text_of_c_in_the_order_in_which_they_were_made(client: Client) -> None:
    result = client.ok("import os\nfor n in range(100): os.write(2, b'c\\n'); display(n)")
    assert result.types() == ["execute_input", *["stderr", "display_data"] * 100]
    assert result.stderr == "c\n" * 100


def test_k_text_of_c_among_many_prints_is_all_there(client: Client) -> None:
    """Where looking at the pipes for each print would cost too much, only the place is not exact."""
    result = client.ok("import os\nfor n in range(10_000):\n    print('p')\n    if n % 100 == 0: os.write(1, b'c\\n')")
    assert sorted(result.stdout) == sorted("p\n" * 10_000 + "c\n" * 100)


def test_k_writes_are_joined(client: Client) -> None:
    """Many small writes make few messages."""
    result = client.ok("for n in range(1000): print(n, end=' ')")
    assert result.stdout == "".join(f"{n} " for n in range(1000))
    assert len(result.all("stream")) < 100


def test_k_output_appears_while_the_cell_runs(client: Client) -> None:
    """Without flush, too."""
    cell = client.execute("import time; print('early'); time.sleep(3)")
    client.recv_busy(cell)
    client.recv_input(cell)
    with within(1.5):
        client.recv_stream(cell, "early\n")
    client.collect(client.send("interrupt_request", channel="control"))
    client.collect(cell, begun=True)


def test_k_flush_publishes_at_once(client: Client) -> None:
    cell = client.begin(
        "import time; print('ready', flush=True); time.sleep(0.4); print('more', flush=True); time.sleep(0.4)"
    )
    client.recv_stream(cell, "more\n")
    result = client.collect(cell, begun=True)
    assert result.messages == []


def test_k_output_is_complete_at_the_reply(client: Client) -> None:
    for n in range(30):
        assert len(client.ok(f"print('x' * {n * 997})").stdout) == n * 997 + 1


def test_k_large_writes(client: Client) -> None:
    """Larger than any ring."""
    result = client.ok("import sys; print('é' * 5_000_000, end=''); print('𝄞' * 300_000, file=sys.stderr, end='')")
    assert result.stdout == "é" * 5_000_000 and result.stderr == "𝄞" * 300_000


# -- the stream objects ---


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("sys.stdout.encoding.lower()", "utf-8"),
        ("sys.stdout.name", "stdout"),
        ("sys.stderr.name", "stderr"),
        ("sys.stdout.isatty()", False),
        ("sys.stdout.writable()", True),
        ("sys.stdout.readable()", False),
        ("sys.stdout.closed", False),
        ("isinstance(sys.stdout, io.TextIOBase)", True),
        ("sys.stdout.write('')", 0),
        ("hasattr(sys.stdout, 'buffer')", False),
        ("isinstance(sys.stdout.fileno(), int)", True),
        ("sys.stdout.errors is None or isinstance(sys.stdout.errors, str)", True),
    ],
)
def test_k_stream_api(client: Client, expression: str, value: object) -> None:
    client.ok("import sys, io")
    assert client.evaluate(expression) == value


def test_k_stream_methods(client: Client) -> None:
    result = client.ok(
        "import sys; n = sys.stdout.write('aé\\n'); sys.stdout.writelines(['b', 'c']); sys.stdout.flush(); n"
    )
    assert result.stdout == "aé\nbc" and result.text == "3"


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("sys.stdout.write(b'x')", "TypeError"),
        ("sys.stdout.write(5)", "TypeError"),
        ("sys.stdout.read()", "UnsupportedOperation"),
        ("sys.stdout.seek(0)", "UnsupportedOperation"),
        ("sys.stdout.detach()", "UnsupportedOperation"),
    ],
)
def test_k_stream_api_refusals(client: Client, code: str, name: str) -> None:
    assert client.run(f"import sys; {code}").content["ename"] == name


def test_k_stream_closed(fresh: Client) -> None:
    """A closed stream refuses; the kernel goes on."""
    assert fresh.run("import sys; sys.stdout.close(); sys.stdout.write('x')").content["ename"] == "ValueError"
    assert fresh.ok("1").text == "1"


def test_k_logging_keeps_its_stream(client: Client) -> None:
    client.ok(
        "import logging, sys; log = logging.getLogger('k'); log.addHandler(logging.StreamHandler()); first = sys.stderr"
    )
    assert "warned" in client.ok("log.warning('warned')").stderr
    assert client.evaluate("first is sys.stderr") is True


def test_k_redirect_and_capture(client: Client) -> None:
    code = block("""
        import contextlib, io
        with contextlib.redirect_stdout(io.StringIO()) as s: print('inside')
        print('outside', len(s.getvalue()))
    """)
    assert client.ok(code).stdout == "outside 7\n"
    assert client.ok("%%capture out\nprint('hidden')").stdout == ""
    assert client.evaluate("out.stdout") == "hidden\n"


def test_k_hooks(client: Client) -> None:
    """As voila and widgets use them: return None to swallow."""
    client.ok(
        block("""
        import sys; kept = []
        def hook(message):
            kept.append(message['content']['text'])
        sys.stdout.register_hook(hook)
    """)
    )
    swallowed = client.ok("print('swallowed')")
    client.ok("sys.stdout.unregister_hook(hook)")
    assert swallowed.stdout == "" and "swallowed" in "".join(client.evaluate("kept"))
    assert client.ok("print('again')").stdout == "again\n"


# -- descriptors 1 and 2 ---


@pytest.mark.parametrize(
    ("code", "out", "err"),
    [
        ("import os; n = os.write(1, b'direct\\n')", "direct\n", ""),
        ("import os; n = os.write(2, b'direct\\n')", "", "direct\n"),
        ("import os; os.system('echo out; echo err >&2');", "out\n", "err\n"),
        ("import subprocess; subprocess.run(['echo', 'child']);", "child\n", ""),
        ("import ctypes; libc = ctypes.CDLL(None); libc.puts(b'from C'); libc.fflush(None);", "from C\n", ""),
        ("import sys; sys.__stdout__.write('original\\n'); sys.__stdout__.flush()", "original\n", ""),
        ("import sys; sys.__stderr__.write('original\\n')\nsys.__stderr__.flush()", "", "original\n"),
    ],
    ids=["write 1", "write 2", "system", "subprocess", "C stdio", "__stdout__", "__stderr__"],
)
def test_k_descriptors_are_captured(client: Client, code: str, out: str, err: str) -> None:
    """And drained before the reply goes out."""
    result = client.ok(code)
    assert (result.stdout, result.stderr) == (out, err)


def test_k_descriptors_multibyte_text_is_not_torn(client: Client) -> None:
    """BUG in ipykernel: characters split at 1000 bytes."""
    result = client.ok(
        "import os; data = ('€' * 50_000).encode(); n = 0\nwhile n < len(data): n += os.write(1, data[n:n + 1000])"
    )
    assert result.stdout == "€" * 50_000


def test_k_descriptors_invalid_bytes_are_replaced(client: Client) -> None:
    assert client.ok("import os; n = os.write(1, b'a\\xff\\xfeb\\n')").stdout == "a\ufffd\ufffdb\n"


def test_k_descriptors_large_output_of_a_child(client: Client) -> None:
    result = client.ok("import subprocess; subprocess.run(['seq', '200000']);", deadline=30)
    assert result.stdout == "".join(f"{n}\n" for n in range(1, 200001))


def test_k_descriptors_of_a_child_that_outlives_the_cell(client: Client) -> None:
    """Its late output goes to whoever was last, not nowhere."""
    first = client.ok(
        "import subprocess; p = subprocess.Popen(['sh', '-c', 'read x; echo late'], stdin=subprocess.PIPE)"
    )
    second = client.ok("p.communicate(b'\\n');")
    assert "late\n" in first.stdout + second.stdout


def test_k_popen_with_sys_stdout(client: Client) -> None:
    """fileno() is a real descriptor that a child can write to."""
    assert client.ok("import subprocess, sys; subprocess.run(['echo', 'x'], stdout=sys.stdout).returncode").text == "0"


# -- fork ---


def test_k_fork_child_prints(client: Client) -> None:
    code = block("""
        import os
        pid = os.fork()
        if pid == 0:
            print('from the child', flush=True)
            os._exit(0)
        print(os.waitpid(pid, 0)[1])
    """)
    result = client.ok(code)
    assert sorted(result.stdout.splitlines()) == ["0", "from the child"]


def test_k_fork_child_that_falls_off_the_cell(client: Client) -> None:
    """It never answers for the kernel and runs no cleanup of it. What it prints arrives, however late."""
    first = client.ok("import os\npid = os.fork()\nprint('child' if pid == 0 else 'parent')")
    second = client.ok("os.waitpid(pid, 0)[1]")
    assert second.text == "0"
    for n in range(5):
        assert client.ok(f"{n}").text == str(n)
    late = [message for message in client.inbox if message.parent_id == first.reply.parent_id]
    client.inbox = [message for message in client.inbox if message not in late]
    text = first.stdout + second.stdout + "".join(message.content["text"] for message in late)
    assert text.count("child") == text.count("parent") == 1 and len(text) == len("child\nparent\n")


@pytest.mark.parametrize("ending", ["raise SystemExit(3)", "1/0", "display(1)", "exit()", "import sys; sys.exit(0)"])
def test_k_fork_child_that_fails(client: Client, ending: str) -> None:
    code = f"import os\npid = os.fork()\nif pid == 0:\n    {ending}\nelse:\n    os.waitpid(pid, 0)\n    print('parent')"
    result = client.ok(code)
    assert "parent" in result.stdout
    assert client.ok("2").text == "2"


def test_k_fork_multiprocessing(client: Client) -> None:
    code = (
        "import multiprocessing as mp\nctx = mp.get_context('fork')\n"
        "def work(n):\n    print('child', n, flush=True)\n    return n * n\n"
        "with ctx.Pool(2) as pool: squares = pool.map(work, range(4))\nsquares"
    )
    result = client.ok(code)
    assert result.text == "[0, 1, 4, 9]"
    assert sorted(result.stdout.splitlines()) == [f"child {n}" for n in range(4)]


def test_k_fork_process_pool(client: Client) -> None:
    code = block("""
        from concurrent.futures import ProcessPoolExecutor
        with ProcessPoolExecutor(2) as pool: print(list(pool.map(abs, [-1, -2])))
    """)
    assert "[1, 2]" in client.ok(code).stdout
    assert client.ok("3").text == "3"


def test_k_fork_while_threads_print(client: Client) -> None:
    code = (
        "import os, threading\nstop = False\n"
        "def chatter():\n    while not stop: print('.', end='')\n"
        "t = threading.Thread(target=chatter); t.start()\n"
        "for n in range(10):\n    pid = os.fork()\n    if pid == 0: os._exit(0)\n    os.waitpid(pid, 0)\n"
        "stop = True; t.join(); print('done')"
    )
    assert client.ok(code).stdout.endswith("done\n")


def test_k_is_master_process(client: Client) -> None:
    assert client.evaluate("__import__('sys').stdout._is_master_process()") is True


# -- floods ---


LEFT_OUT = re.compile(r"\n\[Pupitre: (\d+) bytes of output are left out here\]\n")


def test_k_slow_client_gets_all_lines(kernel: Kernel) -> None:
    """20,000 flushed lines while the client does not read."""
    client = kernel.client(hwm=1)
    msg_id = client.execute("for n in range(20000): print(n, flush=True)")
    client.wait_unread(3)
    assert client.collect(msg_id, 60).stdout == "".join(f"{n}\n" for n in range(20000))
    assert client.ok("2").text == "2"


def test_k_slow_client_is_told_what_is_left_out(kernel: Kernel) -> None:
    """More than the front keeps, for longer than it waits: text is left out and counted, nothing else."""
    client = kernel.client(hwm=1)
    front = kernel.processes()[0]
    before = front.rss()
    msg_id = client.execute("for n in range(400_000): print('x' * 199)\ndisplay(n); 1 / 0")
    grown = kernel.watch(front, 8) - before
    result = client.collect(msg_id, 60)
    assert result.error["ename"] == "ZeroDivisionError" and result.all("display_data")
    left_out = [int(number) for number in LEFT_OUT.findall(result.stderr)]
    assert left_out and len(result.stdout) + sum(left_out) == 400_000 * 200
    assert grown < 64 << 20, f"the front grew by {grown >> 20} MiB"
    assert client.ok("2").text == "2"
    print(f"slow client: {sum(left_out)} bytes left out, front +{grown >> 20} MiB")


def test_k_endless_print_is_bounded_and_interruptible(kernel: Kernel) -> None:
    """The front does not grow with what nobody reads, and the results after it arrive."""
    client = kernel.client(hwm=1)
    client.ok("1")
    front = kernel.processes()[0]
    before = front.rss()
    cell = client.execute("n = 0\nwhile True: print('x' * 200); n += 1")
    grown = kernel.watch(front, 3) - before
    with within(1, "interrupt of endless print"):
        kernel.interrupt()
        reply = client.take(lambda message: message.channel == "shell", "execute_reply")
    assert reply.content["ename"] == "KeyboardInterrupt"
    assert grown < 64 << 20, f"the front grew by {grown >> 20} MiB"
    messages = list(client.messages_until_idle(cell, 60))
    assert messages[-2].type == "error"
    assert client.ok("print('after'); 5").text == "5"
    print(f"endless print: front +{grown >> 20} MiB")


def test_k_endless_print_with_a_reading_client(kernel: Kernel, fresh: Client) -> None:
    cell = fresh.execute("while True: print('line')")
    end = time.monotonic() + 2
    got = 0
    while time.monotonic() < end:
        fresh.receive(1)
        got += sum(len(m.content.get("text", "")) for m in fresh.inbox)
        fresh.inbox = [m for m in fresh.inbox if m.type != "stream"]
    assert got > 100_000
    with within(2, "interrupt of a printing loop"):
        kernel.interrupt()
        assert fresh.recv_reply(cell).content["ename"] == "KeyboardInterrupt"
    list(fresh.messages_until_idle(cell))
    assert fresh.ok("5").text == "5"


def test_k_stuck_stranger_does_not_stop_the_others(kernel: Kernel) -> None:
    """A subscriber that never reads holds the others up until it is dropped, after 30 s; then nothing is slow."""
    stranger = kernel.client(hwm=1)
    kernel.clients.remove(stranger)
    client = kernel.client()
    msg_id = client.execute("for n in range(100_000): print('y' * 199)\n5")
    result = client.collect(msg_id, 60)
    left_out = sum(int(number) for number in LEFT_OUT.findall(result.stderr))
    assert len(result.stdout) + left_out == 100_000 * 200 and result.text == "5"
    with within(2, "20 MB after the stranger is gone"):
        assert len(client.ok("for n in range(100_000): print('z' * 199)").stdout) == 100_000 * 200
    stranger.close()
