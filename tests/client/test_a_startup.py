# SPDX-License-Identifier: BSD-3-Clause
"""Specification table, section A: command line, environment, startup files; issue 3, point 8: hostile surroundings."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from launch import Kernel, command, connection_content, environment, free_ports
from raw import CHANNELS, DEADLINE, Client, block
from test_c_connection import USAGE, attempt, refused

Launch = Callable[..., Kernel]

# -- command line ---


def test_a_version(directory: Path) -> None:
    result = attempt(directory, "--version")
    assert result.returncode == 0 and result.stdout.strip().split()[-1][0].isdigit() and result.stderr == ""


@pytest.mark.parametrize("option", ["--help", "-h", "--help-all"])
def test_a_help(directory: Path, option: str) -> None:
    result = attempt(directory, option)
    assert result.returncode == 0 and "-f" in result.stdout and "connection" in result.stdout.lower()


def test_a_help_all_names_ipythons_options(directory: Path) -> None:
    """`ipython kernel --help-all` must print these words, and front ends look for them."""
    result = attempt(directory, "--help-all")
    assert "Options" in result.stdout and "Class" in result.stdout


@pytest.mark.parametrize("args", [["-f"], ["--shell=high"], ["--version=1"]])
def test_a_wrong_usage(directory: Path, args: list[str]) -> None:
    refused(attempt(directory, *args), USAGE)


def test_a_words_that_are_not_ours(launch: Launch) -> None:
    """The kernel starts; cells see what was typed."""
    words = ["stray", "--no-such-option", "-Z", "--", "-f"]
    kernel = launch(args=words)
    argv = kernel.client().evaluate("__import__('sys').argv")
    assert argv[1:] == ["-f", str(kernel.file), *words]


def test_a_profile_that_is_not_there(launch: Launch) -> None:
    """What IPython has to say about it reaches whoever reads the log."""
    kernel = launch(args=["--profile=nope"], wait=False)
    assert kernel.wait_exit() == 4
    assert "Profile 'nope' not found." in kernel.output()


def test_a_greeting_is_on_standard_output(directory: Path) -> None:
    """Programs read the line with --existing there."""
    script = 'unset JPY_PARENT_PID; exec "$@" 2>/dev/null'
    argv, more = command()
    process = subprocess.Popen(
        ["sh", "-c", script, "sh", *argv, f"--f={directory / 'k.json'}"],
        env={**environment(directory), **more},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout and "ready" in process.stdout.readline()
        assert process.stdout.readline() == f"    --existing {directory / 'k.json'}\n"
    finally:
        process.kill()
        process.communicate(timeout=DEADLINE)


FORMS = ["-f {}", "-f={}", "-f{}", "--f={}", '--f="{}"', "-f '{}'", "--IPKernelApp.connection_file={}"]


@pytest.mark.parametrize("form", FORMS)
def test_a_forms_of_f(launch: Launch, form: str, directory: Path) -> None:
    kernel = launch(args=form.format(directory / "0" / "kernel.json").split())
    assert kernel.client().ok("1").text == "1"


def test_a_without_standard_descriptors(launch: Launch) -> None:
    """What the kernel says to whoever started it gets nowhere else."""
    script = 'unset JPY_PARENT_PID; exec "$@" <&- >&- 2>&-'
    client = launch(prefix=["sh", "-c", script, "sh"]).client()
    result = client.ok("import os, sys; print('out'); print('err', file=sys.stderr); os.system('echo sub')")
    assert (result.stdout, result.stderr) == ("out\nsub\n", "err\n")


def test_a_without_a_file_one_is_made_in_the_runtime_directory(launch: Launch) -> None:
    """Under the name that other tools look for: kernel-<pid>.json."""
    kernel = launch(file=None, wait=False)
    kernel.file = kernel.directory / "runtime" / f"kernel-{kernel.pid}.json"
    kernel.file.parent.mkdir(exist_ok=True)
    kernel.wait_ports()
    client = kernel.client()
    assert client.ok("1").text == "1"
    client.request("shutdown_request", {"restart": False}, channel="control")
    assert kernel.wait_exit() == 0 and not kernel.file.exists()


def test_a_bare_name_is_looked_for_here_and_in_the_runtime_directory(launch: Launch, directory: Path) -> None:
    assert launch(file="kernel.json").client().ok("1").text == "1"
    content = connection_content(directory)
    runtime = directory / "1" / "runtime"

    def write() -> None:
        runtime.mkdir(mode=0o700)
        (runtime / "there.json").write_text(json.dumps(content))

    assert launch(file="there.json", content=content, before=write).client().ok("1").text == "1"


def test_a_ports_on_the_command_line(launch: Launch, directory: Path) -> None:
    """They win over the file; its transport, ip and key win over the command line."""
    content = connection_content(directory, "tcp")
    ports = dict(zip(CHANNELS, free_ports(5), strict=True))
    args = [f"--{channel}={port}" for channel, port in ports.items()]
    kernel = launch(content=content, args=[*args, "--ip=203.0.113.7", "--transport=ipc"], wait=False)
    kernel.connection.ports = ports
    kernel.wait_ready()
    assert kernel.client().ok("1").text == "1"
    assert json.loads(kernel.file.read_text())["shell_port"] == ports["shell"]


def test_a_no_secure(launch: Launch) -> None:
    """The key of the file is ignored: messages are unsigned."""
    kernel = launch(args=["--no-secure"], wait=False)
    kernel.connection.key = b""
    kernel.wait_ready()
    assert kernel.client().ok("1").text == "1"


def test_a_flags_of_the_shell(launch: Launch) -> None:
    client = launch(args=["--colors=NoColor", "--no-automagic", "--cache-size=100"]).client()
    assert "\x1b[" not in "".join(client.run("1/0").error["traceback"])
    assert client.run("pwd").content["ename"] == "NameError"


def test_a_traits_on_the_command_line(launch: Launch) -> None:
    client = launch(args=["--InteractiveShell.ast_node_interactivity=all"]).client()
    assert len(client.ok("1\n2").all("execute_result")) == 2


def test_a_matplotlib_flag(launch: Launch) -> None:
    client = launch(args=["--matplotlib=inline"]).client()
    assert client.ok("import matplotlib; matplotlib.get_backend()", deadline=60).text.strip("'") in (
        "module://matplotlib_inline.backend_inline", "inline",
    )  # fmt: skip


def test_a_code_on_the_command_line_runs(launch: Launch) -> None:
    client = launch(args=["-c", "from_command_line = 5"]).client()
    assert client.evaluate("from_command_line") == 5


def test_a_sys_argv(client: Client) -> None:
    """The shape that argparse, absl and friends see in notebooks: a name, -f, the file."""
    argv = client.evaluate("__import__('sys').argv")
    assert len(argv) == 3 and argv[1] == "-f" and argv[2].endswith("kernel.json")
    assert Path(argv[0]).name == "ipykernel_launcher.py" and Path(argv[0]).is_file()


# -- environment ---


def test_a_environment(client: Client) -> None:
    environ = client.evaluate("dict(__import__('os').environ)")
    wanted = {
        "TERM": "xterm-color",
        "CLICOLOR": "1",
        "FORCE_COLOR": "1",
        "CLICOLOR_FORCE": "1",
        "PAGER": "cat",
        "GIT_PAGER": "cat",
    }
    assert {name: environ.get(name) for name in wanted} == wanted
    assert environ["MPLBACKEND"] == "module://matplotlib_inline.backend_inline"
    assert "JPY_PARENT_PID" in environ


def test_a_mplbackend_of_the_user_wins(launch: Launch) -> None:
    assert launch(env={"MPLBACKEND": "agg"}).client().evaluate("__import__('os').environ['MPLBACKEND']") == "agg"


def test_a_session_name(launch: Launch) -> None:
    assert launch(env={"JPY_SESSION_NAME": "a/b.ipynb"}).client().evaluate("__session__") == "a/b.ipynb"


def test_a_no_environment_of_ours_leaks(client: Client) -> None:
    """A subprocess Python must not see variables that make it a kernel."""
    names = client.evaluate("[n for n in __import__('os').environ if n.startswith(('PUPITRE', 'PYTHONHOME'))]")
    assert set(names) <= {"PUPITRE_KERNEL_BIN", "PUPITRE_WORKER", "PUPITRE_PYTHON", "PUPITRE_NURSERY"}


def test_a_descriptors_are_not_inherited(client: Client) -> None:
    """Children get 0, 1 and 2, not the link."""
    client.ok("import subprocess; out = subprocess.check_output(['ls', '/proc/self/fd'], close_fds=False, text=True)")
    assert len(client.evaluate("out").split()) <= 4


def test_a_sys_path(client: Client) -> None:
    """The working directory is on it, after the standard library."""
    path = client.evaluate("__import__('sys').path")
    assert "" in path
    library = next(n for n, entry in enumerate(path) if entry.endswith("lib-dynload"))
    assert path.index("") > library


def test_a_safe_path(launch: Launch) -> None:
    assert "" not in launch(env={"PYTHONSAFEPATH": "1"}).client().evaluate("__import__('sys').path")


def test_a_cwd(client: Client, shared_kernel: Kernel) -> None:
    assert os.path.samefile(client.evaluate("__import__('os').getcwd()"), shared_kernel.directory)


def test_a_main(client: Client) -> None:
    client.ok("import __main__, sys")
    assert client.evaluate("[__name__, __main__.__dict__ is globals()]") == ["__main__", True]
    assert client.evaluate("[sys.modules['__main__'] is __main__, hasattr(__main__, '__file__')]") == [True, False]
    assert client.evaluate("[__builtins__ is not None, '__builtin__' in globals()]") == [True, True]


def test_a_python_is_the_environments(client: Client) -> None:
    """sys.executable runs, and finds the same packages."""
    code = "import subprocess, sys; out = subprocess.check_output([sys.executable, '-c', PRINT], text=True)"
    client.ok(f"PRINT = 'import sys; print(sys.prefix)'\n{code}")
    assert client.evaluate("[sys.prefix, '']") == client.evaluate("out.split('\\n')")


def test_a_one_thread(fresh: Client, kernel: Kernel) -> None:
    fresh.ok("x = 1")
    assert fresh.evaluate("len(__import__('threading').enumerate())") == 1


def test_a_faulthandler(client: Client) -> None:
    assert client.ok("import faulthandler; faulthandler.enable(); faulthandler.is_enabled()").text == "True"


def test_a_internal_logs_stay_out_of_cells(client: Client) -> None:
    msg_id = client.send("comm_msg", {"comm_id": "x"})
    client.recv_busy(msg_id)
    list(client.messages_until_idle(msg_id))
    assert client.ok("1").stderr == ""


# -- profile ---


def profile(directory: Path, name: str, text: str) -> Callable[[], None]:
    """A file of the default profile of the first kernel started."""

    def write() -> None:
        path = directory / "0" / "ipython" / "profile_default" / name
        path.parent.mkdir(parents=True)
        path.write_text(text)

    return write


def test_a_startup_files(launch: Launch, directory: Path) -> None:
    before = profile(directory, "startup/50-test.py", "started = 1\nprint('printed at startup')")
    client = launch(before=before).client()
    result = client.ok("started")
    assert result.text == "1" and result.stdout == ""


def test_a_ipython_config(launch: Launch, directory: Path) -> None:
    text = block("""
        c = get_config()
        c.InteractiveShellApp.exec_lines = ['configured = 7']
        c.InteractiveShell.xmode = 'Plain'
    """)
    client = launch(before=profile(directory, "ipython_config.py", text)).client()
    assert client.evaluate("configured") == 7
    assert client.evaluate("get_ipython().xmode") == "Plain"
    assert "---->" not in client.run("1/0").traceback


def test_a_ipython_kernel_config(launch: Launch, directory: Path) -> None:
    text = block("""
        c = get_config()
        c.IPKernelApp.exec_lines = ['kernel_configured = 8']
        c.IPKernelApp.extensions = ['autoreload']
    """)
    client = launch(before=profile(directory, "ipython_kernel_config.py", text)).client()
    assert client.evaluate("kernel_configured") == 8
    assert client.evaluate("any('autoreload' in name for name in get_ipython().extension_manager.loaded)") is True


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("startup/00-bad.py", "1/0"),
        ("startup/00-exit.py", "raise SystemExit(3)"),
        ("ipython_config.py", "this is not python"),
        ("ipython_config.py", "c.InteractiveShellApp.extensions = ['no_such_extension']"),
        ("ipython_config.py", "c.InteractiveShellApp.exec_lines = ['1/0']"),
    ],
)
def test_a_broken_profile_does_not_stop_the_kernel(launch: Launch, directory: Path, name: str, text: str) -> None:
    assert launch(before=profile(directory, name, text)).client().ok("1").text == "1"


# -- hostile surroundings  ---

NAMES = [
    "random",
    "json",
    "code",
    "email",
    "string",
    "types",
    "token",
    "abc",
    "io",
    "asyncio",
    "IPython",
    "traitlets",
    "zmq",
    "site",
]


def test_a_modules_of_the_user_do_not_shadow_ours(launch: Launch, directory: Path) -> None:
    def write() -> None:
        for name in NAMES:
            (directory / "0" / f"{name}.py").write_text("raise RuntimeError('shadowed ' + __name__)\n")

    client = launch(before=write).client()
    assert client.ok("import json, random, asyncio; json.dumps([1])").text == "'[1]'"
    assert client.ok("await asyncio.sleep(0, 5)").text == "5"
    assert client.run("1/0").content["ename"] == "ZeroDivisionError"


@pytest.mark.parametrize("kind", ["missing", "file", "unset"])
def test_a_home_of_all_kinds(launch: Launch, directory: Path, kind: str) -> None:
    env = {"IPYTHONDIR": "", "JUPYTER_RUNTIME_DIR": ""}
    home = directory / "home"
    if kind == "file":
        home.write_text("")
    env["HOME"] = "" if kind == "unset" else str(home)
    client = launch(env=env).client()
    assert client.ok("1").text == "1"
    assert client.run("1/0").content["ename"] == "ZeroDivisionError"


@pytest.mark.parametrize("what", ["usercustomize.py", "sitecustomize.py", "broken.pth"])
def test_a_broken_local_packages(launch: Launch, directory: Path, what: str) -> None:
    """~/.local as students leave it."""
    home = directory / "home"
    for version in ("3.11", "3.12", "3.13", "3.14"):
        packages = home / f".local/lib/python{version}/site-packages"
        packages.mkdir(parents=True)
        (packages / what).write_text("import no_such_module; raise RuntimeError\n")
    client = launch(env={"HOME": str(home)}).client()
    assert client.ok("1").text == "1"


@pytest.mark.parametrize("name", ["PYTHONSTARTUP", "PYTHONWARNINGS", "PYTHONBREAKPOINT", "LANG", "LC_ALL"])
def test_a_odd_environment(launch: Launch, name: str) -> None:
    client = launch(env={name: "nonsense-value"}).client()
    assert client.ok("print('é𝄞')").stdout == "é𝄞\n"


def test_a_standard_descriptors_closed(launch: Launch) -> None:
    """As left behind by a server that went away: nothing dies of SIGPIPE or EBADF."""
    kernel = launch(prefix=["sh", "-c", 'exec "$@" 0<&- 1>&- 2>&-', "sh"])
    client = kernel.client()
    assert client.ok("import os; os.write(2, b'x'); print('y')").stdout == "y\n"
    assert client.ok("!echo z").stdout.strip() == "z"


def test_a_dead_standard_error(launch: Launch) -> None:
    """A pipe nobody reads any more."""
    kernel = launch(prefix=["sh", "-c", '"$@" 2>&1 | true', "sh"], wait=False)
    client = kernel.client()
    assert client.ok("import sys; print('e', file=sys.stderr); 1").text == "1"
    client.collect(client.send("shutdown_request", {"restart": False}, channel="control"))
    kernel.wait_exit()


def test_a_connection_file_is_the_argument(shared_kernel: Kernel) -> None:
    argv = Path(f"/proc/{shared_kernel.pid}/cmdline").read_bytes().split(b"\0")
    assert str(shared_kernel.file).encode() in argv
    assert json.loads(shared_kernel.file.read_text())["key"] == shared_kernel.connection.key.decode()


@pytest.mark.parametrize(
    "foreign",
    ["raise SystemExit('not for you')", "def dumps(value): return value", "import no_such_module", "dumps = OPT = 1"],
)
def test_a_a_foreign_orjson_is_not_used(launch: Launch, directory: Path, foreign: str) -> None:
    place = directory / "path"
    place.mkdir()
    (place / "orjson.py").write_text(foreign)
    client = launch(env={"PYTHONPATH": str(place)}).client()
    result = client.ok("display({'a': float('nan'), 'b': b'x'}, raw=True); 'é'")
    assert result.one("display_data").content["data"] == {"a": None, "b": "eA=="}
    assert result.text == "'é'"


def test_a_a_kernel_that_cannot_start_answers_kernel_info(launch: Launch, directory: Path) -> None:
    """With the members that every client reads first, or it fails before it shows why."""
    place, gate = directory / "path", directory / "gate"
    place.mkdir()
    os.mkfifo(gate)
    (place / "traitlets.py").write_text(f"open({str(gate)!r}).read()\nraise ImportError('not these traitlets')")
    kernel = launch(env={"PYTHONPATH": str(place)}, wait=False)
    client = kernel.client(wait=False)
    client.shows_inside = True  # Python's own traceback says what is missing
    client.recv_reply(client.send("connect_request", channel="control"))
    asked = [client.send("kernel_info_request"), client.send("kernel_info_request", channel="control")]
    gate.write_text("go on")
    for msg_id in asked:
        content = client.recv_reply(msg_id).content
        assert content["status"] == "error" and "not these traitlets" in content["evalue"]
        assert content["protocol_version"] == "5.4" and content["language_info"]["name"] == "python"
        assert content.keys() >= {"implementation", "implementation_version", "banner", "help_links"}
    assert kernel.wait_exit() == 4
    client.drain()


def test_a_a_start_that_ends_without_a_word(launch: Launch, directory: Path) -> None:
    """There is no reason to give but the status."""
    kernel = launch(before=profile(directory, "startup/50-end.py", "import os; os._exit(3)"), wait=False)
    assert kernel.wait_exit() == 4
    assert 'reason="it could not start (exit status 3)"' in kernel.output()
