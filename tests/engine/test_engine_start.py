# SPDX-License-Identifier: BSD-3-Clause
"""spec A and Q: main(), configuration, a bad home, and what is not imported.

Each in an interpreter of its own, with the fake door.
"""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any

import pytest
from IPython import version_info as IPYTHON

HERE = Path(__file__).parent
PACKAGES = Path(str(find_spec("pupitre").origin)).parent.parent  # type: ignore[union-attr] - the source tree or site-packages

SCRIPT = """
import sys, os, json
before = set(sys.modules)  # .pth files of the environment may import much
sys.path.insert(0, {here!r})
import fake
door = fake.install()
from pupitre import engine
requests = json.loads(sys.argv[2])
def answered(frame):
    if frame[0] in (door.HELLO, door.REPLY):
        if requests:
            number = len(door.answered) + 1
            header = {{"msg_type": "execute_request", "msg_id": str(number)}}
            content = {{"code": requests.pop(0), "store_history": False}}
            parts = [json.dumps(part).encode() for part in (header, {{}}, {{}}, content)]
            door.put((door.REQUEST, 0, number, [b"execute_request", *parts, b"id"]))
        else:
            door.put((door.EXIT, 0, 0, []))
door.on_send = answered
status = engine.main(sys.argv[1].encode())
out = []
for kind, *rest in door.order:
    if kind == "text":
        out.append(["text", *rest])
    else:
        out.append([rest[0], rest[2], [part.decode("utf-8", "replace") for part in rest[3]]])
os.write(1, json.dumps([status, out, sorted(set(sys.modules) - before)]).encode())
os._exit(0)
"""


class Run:
    """One engine from START to EXIT."""

    def __init__(
        self, home: Path, *codes: str, arguments: list[str] | None = None, env: dict[str, str] | None = None
    ) -> None:
        start = {
            "version": "0",
            "connection_file": "c.json",
            "argv": ["-f", "c.json"],
            "ident": "i",
            "session": "s",
        }
        start["arguments"] = arguments or []  # type: ignore[assignment]
        clean = {
            name: value
            for name, value in os.environ.items()
            if name not in ("IPYTHONDIR", "PYTHONSTARTUP", "MPLBACKEND", "IPKERNEL_CELL")
        }
        clean["PYTHONPATH"] = str(PACKAGES)
        script = Path(mkdtemp(prefix="pupitre-test-")) / "start.py"
        script.write_text(SCRIPT.format(here=str(HERE)))
        command = [sys.executable, str(script), json.dumps(start), json.dumps(codes)]
        done = subprocess.run(
            command,
            env={**clean, "HOME": str(home), **(env or {})},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            cwd=HERE,
        )
        rmtree(script.parent)
        self.stderr = done.stderr
        self.status, self.out, self.modules = None, [], []
        if done.stdout:
            self.status, self.out, self.modules = json.loads(done.stdout)

    def text(self, serial: int | None = None) -> str:
        return "".join(entry[3] for entry in self.out if entry[0] == "text" and serial in (None, entry[2]))

    def frames(self, kind: int) -> list[Any]:
        return [entry for entry in self.out if entry[0] == kind]

    @property
    def results(self) -> list[str]:
        contents = [json.loads(entry[2][4]) for entry in self.frames(19) if entry[2][0] == "execute_result"]
        return [content["data"]["text/plain"] for content in contents]


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    folder = tmp_path / ".ipython" / "profile_default"
    (folder / "startup").mkdir(parents=True)
    return folder


def test_hello_and_orderly_end(tmp_path: Path) -> None:
    run = Run(
        tmp_path, "import atexit, sys; atexit.register(print, 'bye'); sys.argv", "import gc; gc.get_freeze_count() >= 0"
    )
    assert run.status == 0, run.stderr
    (hello,) = run.frames(16)
    info = json.loads(hello[2][0])
    assert info["status"] == "ok" and info["implementation"] == "ipython" and len(info["help_links"]) == 7
    assert info["language_info"]["name"] == "python" and info["language_info"]["version"] == sys.version.split()[0]
    assert "Python" in info["banner"] and info["protocol_version"].startswith("5.")
    argv = eval(run.results[0])
    assert argv[1:] == ["-f", "c.json"] and Path(argv[0]).is_file() and Path(argv[0]).name == "ipykernel_launcher.py"
    assert run.text().endswith("bye\n")
    light = {
        "ssl",
        "sqlite3",
        "jedi",
        "prompt_toolkit",
        "logging.config",
        "_hashlib",
        "comm",
        "pdb",
        "ipaddress",
        "matplotlib",
    }
    if IPYTHON < (9, 10):  # which imports these by itself
        light -= {"sqlite3", "_hashlib", "pdb", "ssl"}
    assert light & set(run.modules) == set(), "these cost memory in every kernel"


def test_startup_files_config_and_exec_lines(profile: Path, tmp_path: Path) -> None:
    (profile / "startup" / "10-a.py").write_text("from_startup = 1\nprint('startup speaks')\n")
    (profile / "startup" / "20-b.py").write_text("raise SystemExit\n")
    (profile / "ipython_config.py").write_text(
        "c.InteractiveShellApp.exec_lines = ['from_line = 2']\nc.InteractiveShell.ast_node_interactivity = 'all'\n"
    )
    (profile / "ipython_kernel_config.py").write_text("c.IPKernelApp.exec_lines = ['from_kernel_line = 3']\n")
    run = Run(tmp_path, "from_startup\nfrom_kernel_line", "sys_name = __name__")
    assert run.results == ["1", "3"], run.out
    texts = [entry for entry in run.out if entry[0] == "text" and "speaks" in entry[3]]
    assert texts and texts[0][2] == 0
    kinds = [entry[0] for entry in run.out]
    assert kinds.index("text") < kinds.index(16)


def test_options(tmp_path: Path) -> None:
    expected = {
        "given": "5",
        "get_ipython().cache_size": "7",
        "get_ipython().kernel.parent.matplotlib": "'inline'",
        "any('autoreload' in name for name in get_ipython().extension_manager.loaded)": "True",
        "import sys; '' in sys.path": "False",
    }
    arguments = ["-c", "given = 5", "--InteractiveShell.cache_size=7", "--matplotlib=inline", "--ext", "autoreload"]
    run = Run(tmp_path, *expected, arguments=[*arguments, "--ignore-cwd"])
    assert run.results == list(expected.values()), (run.out, run.stderr)


def test_session_name(tmp_path: Path) -> None:
    run = Run(tmp_path, "__session__", "%who_ls", env={"JPY_SESSION_NAME": "/home/ada/a.ipynb"})
    assert run.results == ["'/home/ada/a.ipynb'", "[]"]


def test_no_stdout(tmp_path: Path) -> None:
    run = Run(tmp_path, "print('x'); 1", arguments=["--no-stdout", "--user", "me"])
    assert run.results == ["1"] and run.text(1) == ""


def test_options_that_nobody_knows(tmp_path: Path) -> None:
    run = Run(tmp_path, "1", arguments=["word", "--nope", "value", "--other=1", "-x", "--", "--pdb"])
    assert run.results == ["1"]
    for words in ("--nope value", "--other=1", "-x"):
        assert f"warning: {words}: no option of this kernel" in run.stderr
    assert "--pdb" not in run.stderr and "word" not in run.stderr


@pytest.mark.parametrize("option", ["--profile=nope", "--profile-dir=/nope/nope"])
def test_a_profile_that_is_not_there(tmp_path: Path, option: str) -> None:
    """The sentence is IPython's."""
    run = Run(tmp_path, "1", arguments=[option])
    assert run.status == 2
    [line] = [line for line in run.stderr.splitlines() if line.startswith("pupitre-kernel: ")]
    assert "nope" in line and "rofile" in line


def test_profile(tmp_path: Path) -> None:
    folder = tmp_path / ".ipython" / "profile_class"
    folder.mkdir(parents=True)
    (folder / "ipython_config.py").write_text("c.InteractiveShellApp.exec_lines = ['where = 1']")
    run = Run(tmp_path, "where, get_ipython().profile", arguments=["--profile", "class"])
    assert run.results == ["(1, 'class')"]


@pytest.mark.parametrize(
    "argument", ["--InteractiveShell.ast_node_interactivity=bad", "--InteractiveShell.cache_size=many"]
)
def test_bad_value(tmp_path: Path, argument: str) -> None:
    run = Run(tmp_path, "1", arguments=[argument])
    assert run.status == 2 and run.frames(16) == []
    lines = [line for line in run.stderr.splitlines() if line.startswith("pupitre-kernel: ")]
    assert len(lines) == 1


@pytest.mark.parametrize(
    "broken",
    [
        "c.InteractiveShellApp.exec_lines = [",
        "raise RuntimeError",
        "c.InteractiveShellApp.extensions = ['no_such_extension']",
    ],
)
def test_broken_configuration_does_not_keep_it_from_starting(profile: Path, tmp_path: Path, broken: str) -> None:
    (profile / "ipython_config.py").write_text(broken)
    assert Run(tmp_path, "1 + 1").results == ["2"]


@pytest.mark.parametrize("home", ["/nonexistent/home", "/proc"])
def test_home_that_cannot_be_used(home: str) -> None:
    run = Run(Path(home), "1 + 1")
    assert run.results == ["2"] and run.status == 0, run.stderr


def test_files_in_the_working_directory(tmp_path: Path) -> None:
    """'' comes after the standard library, so a student's random.py is no danger."""
    for name in ("random.py", "json.py", "code.py", "email.py", "asyncio.py", "comm.py"):
        (tmp_path / name).write_text("raise RuntimeError('shadowed')")
    code = "import random, json, code, email, asyncio; 1 + 1"
    run = Run(tmp_path, f"import os; os.chdir({str(tmp_path)!r})", code)
    assert run.results == ["2"], run.out
