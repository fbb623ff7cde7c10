# SPDX-License-Identifier: BSD-3-Clause
"""The worker starts as `python` would, takes frames, answers them and ends."""

import subprocess
from pathlib import Path

import pytest
from front import Front, python_path


def test_start_hello_request_reply_exit() -> None:
    with Front() as front:
        hello = front.start()
        assert hello.content["argv"] == ["x", "-f", "y"]
        assert front.run("result = 1 + 1") == {"status": "ok", "result": "2", "mended": []}
        assert front.exit() == 7


@pytest.mark.parametrize(
    "expression", ["sys.executable", "sys.prefix", "sys.base_prefix", "sys.path[-3:]", "sys.flags", "sys.version"]
)
def test_interpreter_is_the_environments(front: Front, expression: str) -> None:
    asked = subprocess.run(
        [python_path(), "-c", f"import sys; print({expression})"], capture_output=True, text=True, check=True
    )
    if expression == "sys.version":
        asked.stdout = asked.stdout.split()[0]
        expression = "sys.version.split()[0]"
    assert front.value(f"str({expression})") == repr(asked.stdout.strip())


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("sys.argv", "['x', '-f', 'y']"),
        ("'' in sys.path or os.getcwd() in sys.path", "False"),
        ("'PUPITRE_PYTHON' in os.environ", "False"),
        ("sys.stdin.read()", "''"),
        ("signal.getsignal(signal.SIGINT) is signal.default_int_handler", "True"),
        ("_pupitre.REQUEST, _pupitre.BYE, _pupitre.PARENTS_KEPT, _pupitre.version", "(2, 21, 64, '0.1.0')"),
        ("_pupitre.is_child()", "False"),
        ("_pupitre.link_fd >= 200 and _pupitre.wake_fd >= 200", "True"),
        ("faulthandler.is_enabled()", "True"),
    ],
)
def test_what_user_code_finds(front: Front, expression: str, value: str) -> None:
    assert front.value(expression) == value


@pytest.mark.parametrize(
    ("environ", "expression"),
    [
        ({"PYTHONDONTWRITEBYTECODE": "1"}, "sys.flags.dont_write_bytecode == 1"),
        ({"PYTHONUTF8": "1"}, "sys.flags.utf8_mode == 1"),
        ({"PYTHONHASHSEED": "0"}, "sys.flags.hash_randomization == 0"),
        ({"PYTHONSAFEPATH": "1"}, "sys.flags.safe_path"),
        ({"PYTHONNOUSERSITE": "1"}, "sys.flags.no_user_site == 1"),
        ({"LC_ALL": "C"}, "sys.flags.utf8_mode == 1 or sys.getfilesystemencoding() == 'utf-8'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_environment_variables_are_honoured(environ: dict[str, str], expression: str) -> None:
    with Front(environ) as front:
        front.start()
        assert front.value(expression) == "True"


def test_multiprocessing_spawn_and_subprocess_use_a_real_python(front: Front) -> None:
    code = """
import multiprocessing, subprocess
with multiprocessing.get_context('spawn').Pool(1) as pool: result = pool.map(abs, [-1])
result.append(subprocess.run([sys.executable, '-c', 'print(5)'], capture_output=True).stdout)
"""
    assert front.run(code)["result"] == "[1, b'5\\n']"


def test_an_engine_that_cannot_be_imported_is_said(tmp_path: Path) -> None:
    (tmp_path / "pupitre").mkdir()
    (tmp_path / "pupitre" / "__init__.py").write_text("raise ImportError('nobody is home')")
    with Front(package=tmp_path) as front:
        front.send(1, 0, [b"{}"])
        assert front.wait() == 4
        assert "nobody is home" in front.text()


def test_a_worker_started_by_hand_says_so() -> None:
    from front import worker_path

    alone = subprocess.run([worker_path()], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert alone.returncode == 2
    assert "pupitre-kernel" in alone.stderr
