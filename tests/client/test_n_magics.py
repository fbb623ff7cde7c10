# SPDX-License-Identifier: BSD-3-Clause
"""Specification table, section N: magics, payloads, shell commands."""

import os

import pytest
from launch import Kernel
from raw import Client

# -- the kernel's own magics  ---


def test_n_edit(client: Client) -> None:
    client.ok("open('edited.py', 'w').close()")
    [payload] = client.ok("%edit edited.py").content["payload"]
    assert payload["source"] == "edit_magic" and payload["filename"].endswith("/edited.py")
    assert os.path.isabs(payload["filename"]) and "line_number" in payload


def test_n_clear(client: Client) -> None:
    result = client.ok("%clear")
    assert result.types() == ["execute_input", "stdout"] and "\x1b[" in result.stdout


@pytest.mark.parametrize("magic", ["less", "more"])
def test_n_pager_magics(client: Client, magic: str) -> None:
    client.ok("with open('page.txt', 'w') as f: f.write('paged text')")
    [payload] = client.ok(f"%{magic} page.txt").content["payload"]
    assert payload["source"] == "page" and "paged text" in payload["data"]["text/plain"]
    result = client.run(f"%{magic}")
    assert result.status == "error" and "UsageError" in result.stderr


def test_n_connect_info(client: Client) -> None:
    result = client.ok("%connect_info")
    assert client.connection.key.decode() in result.stdout and "shell_port" in result.stdout


def test_n_autosave(client: Client) -> None:
    result = client.ok("%autosave 60")
    assert "60" in result.stdout and result.all("display_data")


# -- IPython's ---


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("%timeit -n1 -r1 pass", "loop"),
        ("%%timeit -n1 -r1\npass", "loop"),
        ("%time 1", "Wall time"),
        ("%%time\nx = 1", "Wall time"),
        ("%who_ls", None),
        ("%lsmagic", None),
        ("%pwd", None),
        ("%env HOME", None),
        ("%history -n 1", None),
        ("%precision 3", None),
        ("%config", "IPCompleter"),
        ("%load_ext autoreload", None),
        ("%%bash\necho from bash", "from bash"),
        ("%%sh\necho from sh", "from sh"),
        ("%%script cat\nscripted", "scripted"),
        ("%%writefile magic.txt\nwritten", "magic.txt"),
        ("%%html\n<b>x</b>", None),
        ("%%python3\nprint('other python')", "other python"),
        ("%dhist", None),
        ("%magic", None),
        ("%quickref", None),
    ],
)
def test_n_magics(client: Client, code: str, text: str | None) -> None:
    result = client.ok(code, deadline=20)
    if text is not None:
        assert text in result.stdout


def test_n_run(client: Client) -> None:
    client.ok("with open('script.py', 'w') as f: f.write('import sys; ran = 5; print(__name__, sys.argv[1:])')")
    assert client.ok("%run script.py a b").stdout == "__main__ ['a', 'b']\n"
    assert client.evaluate("ran") == 5


def test_n_run_of_a_script_that_fails(client: Client) -> None:
    client.ok("with open('bad.py', 'w') as f: f.write('def f():\\n    1/0\\nf()\\n')")
    result = client.run("%run bad.py")
    assert result.error["ename"] == "ZeroDivisionError" and "bad.py" in result.traceback


def test_n_cd(client: Client) -> None:
    client.ok("import os; os.makedirs('sub', exist_ok=True)\n%cd -q sub")
    assert client.evaluate("__import__('os').getcwd()").endswith("/sub")
    client.ok("%cd -q ..")


def test_n_capture(client: Client) -> None:
    result = client.ok("%%capture cap\nprint('hidden'); display(5); 6")
    assert result.types() == ["execute_input"]
    assert client.evaluate("[cap.stdout, len(cap.outputs)]") == ["hidden\n", 2]


def test_n_load_and_set_next_input(client: Client) -> None:
    client.ok("with open('loaded.py', 'w') as f: f.write('a = 1\\n')")
    [payload] = client.ok("%load loaded.py").content["payload"]
    assert payload["source"] == "set_next_input" and "a = 1" in payload["text"] and payload["replace"] is True


def test_n_who_shows_only_the_users_names(fresh: Client) -> None:
    fresh.ok("mine = 1")
    assert fresh.ok("%who_ls").text == "['mine']"


def test_n_reset(fresh: Client) -> None:
    fresh.ok("mine = 1")
    fresh.ok("%reset -f")
    assert fresh.run("mine").content["ename"] == "NameError"
    assert fresh.ok("get_ipython().kernel is not None").text == "True"


def test_n_autoreload(client: Client) -> None:
    client.ok("with open('reloaded.py', 'w') as f: f.write('value = 1')")
    client.ok("%load_ext autoreload\n%autoreload 2\nimport reloaded")
    client.ok(
        "import os\nwith open('reloaded.py', 'w') as f: f.write('value = 222')\nos.utime('reloaded.py', (2e9, 2e9))"
    )
    assert client.ok("reloaded.value").text == "222"
    client.ok("%autoreload 0")


def test_n_pip_runs_the_right_python(client: Client) -> None:
    """Of the environment the kernel runs in."""
    result = client.ok("%pip --version", deadline=30)
    assert "pip" in result.stdout


def test_n_sys_executable_is_python(client: Client) -> None:
    code = "import subprocess, sys; subprocess.check_output([sys.executable, '-c', 'import IPython; print(6 * 7)'])"
    assert client.ok(code, deadline=20).text == "b'42\\n'"


# -- payloads ---


def test_n_page_payload(client: Client) -> None:
    result = client.ok("print?")
    [payload] = result.content["payload"]
    assert payload["source"] == "page" and "text/plain" in payload["data"] and payload["start"] == 0
    assert result.types() == ["execute_input"]


def test_n_source_page(client: Client) -> None:
    client.ok("def paged():\n    return 'the source'")
    [payload] = client.ok("paged??").content["payload"]
    assert "the source" in payload["data"]["text/plain"]


def test_n_set_next_input_last_wins(client: Client) -> None:
    result = client.ok("ip = get_ipython(); ip.set_next_input('one'); ip.set_next_input('two', replace=True)")
    assert result.content["payload"] == [{"source": "set_next_input", "text": "two", "replace": True}]
    assert client.ok("1").content["payload"] == []


# -- shell commands ---


def test_n_shell_command(client: Client) -> None:
    result = client.ok("!echo out; echo err >&2")
    assert sorted(result.stdout.split() + result.stderr.split()) == ["err", "out"]
    assert client.evaluate("_exit_code") == 0


def test_n_shell_exit_code(client: Client) -> None:
    client.ok("!exit 3")
    assert client.evaluate("_exit_code") == 3


def test_n_shell_assignment(client: Client) -> None:
    client.ok("lines = !printf 'a\\nb\\n'")
    assert client.evaluate("list(lines)") == ["a", "b"]
    assert client.ok("!!echo captured").text == "['captured']"
    assert client.evaluate("list(get_ipython().getoutput('echo x'))") == ["x"]


def test_n_shell_variables(client: Client) -> None:
    client.ok("who = 'world'")
    assert "hello world 3" in client.ok("!echo hello {who} {1 + 2}").stdout


def test_n_shell_output_appears_while_it_runs(client: Client) -> None:
    cell = client.execute("!echo early; sleep 30")
    client.recv_busy(cell)
    client.recv_input(cell)
    assert "early" in client.recv("iopub", "stream", cell).content["text"]
    client.collect(client.send("interrupt_request", channel="control"))
    client.collect(cell, begun=True)


def test_n_shell_background_is_refused(client: Client) -> None:
    result = client.run("!sleep 0 &")
    assert result.status == "error" and result.content["ename"] == "OSError"


def test_n_shell_is_a_terminal_with_colour(client: Client) -> None:
    assert "yes" in client.ok("!test -t 1 && echo yes || echo no").stdout


def test_n_shell_raise_on_error(client: Client) -> None:
    client.ok("get_ipython().system_raise_on_error = True")
    result = client.run("!exit 4")
    client.ok("get_ipython().system_raise_on_error = False")
    assert result.content["ename"] == "CalledProcessError"


def test_n_shell_reads_nothing(client: Client, shared_kernel: Kernel) -> None:
    """A command that reads its input does not hang the kernel for ever."""
    cell = client.execute("!head -c 1")
    shared_kernel.wait_child("head")
    client.collect(client.send("interrupt_request", channel="control"))
    client.collect(cell)


def test_n_shell_attributes(client: Client) -> None:
    names = [
        "kernel",
        "config",
        "events",
        "display_pub",
        "displayhook",
        "user_ns",
        "payload_manager",
        "history_manager",
        "run_cell",
        "magics_manager",
        "set_next_input",
        "exiter",
        "active_eventloop",
    ]
    assert client.evaluate(f"[n for n in {names!r} if not hasattr(get_ipython(), n)]") == []
