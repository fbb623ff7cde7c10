# SPDX-License-Identifier: BSD-3-Clause
"""`pupitre doctor` finds what is wrong, and nothing where nothing is."""

from __future__ import annotations

import importlib.util
import json
import shutil
import socket
import struct
import sysconfig
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from conftest import ROOT, Done, Installation, run


def wrongs(done: Done) -> list[str]:
    """The findings that are wrong, by the name of their check."""
    assert done.returncode == 1, done.stdout
    return [line.split()[1] for line in done.stdout.splitlines() if line.startswith("WRONG")]


def test_nothing_wrong(installation: Installation) -> None:
    done = installation.pupitre("doctor")
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    assert lines[-1] == "nothing wrong"
    for text in (
        "libpython",
        "ipython",
        "libzmq",
        "OpenSSL",
        "kernelspec",
        "a kernel starts and computes 1+1",
    ):
        assert any(text in line for line in lines), text


def test_quiet(installation: Installation) -> None:
    done = installation.pupitre("doctor", "--quiet", PYTHONPATH="/nowhere")
    assert done.returncode == 0, done.stdout
    assert "PYTHONPATH=/nowhere" in done.stdout
    assert "ok " not in done.stdout


def test_missing_worker(installation: Installation) -> None:
    done = installation.pupitre("doctor", PUPITRE_WORKER="/nowhere/pupitre-worker")
    assert wrongs(done) == ["programs", "start"]


def test_worker_that_does_not_start(installation: Installation) -> None:
    done = installation.pupitre("doctor", PUPITRE_WORKER="/bin/false")
    assert wrongs(done) == ["start"]


def test_missing_kernel(installation: Installation, tmp_path: Path) -> None:
    copy = Installation(tmp_path / "copy", installation.home)
    shutil.copytree(installation.prefix, copy.prefix, symlinks=True)
    copy.kernel.unlink()
    assert "programs" in wrongs(copy.pupitre("doctor"))


def test_old_ipython(installation: Installation, tmp_path: Path) -> None:
    info = tmp_path / "ipython-7.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ipython\nVersion: 7.0\n")
    done = installation.pupitre("doctor", PYTHONPATH=str(tmp_path))
    assert wrongs(done) == ["packages"]
    assert "ipython 7.0 is too old" in done.stdout


def test_shadowed_kernelspec(installation: Installation, tmp_path: Path) -> None:
    folder = tmp_path / "kernels" / "pupitre"
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text(json.dumps({"argv": ["/bin/false"], "display_name": "", "language": ""}))
    done = installation.pupitre("doctor", JUPYTER_PATH=str(tmp_path))
    assert wrongs(done) == ["kernelspec"]
    assert f"{folder} comes first, and starts /bin/false" in done.stdout


def test_spec_that_outlived_its_environment(installation: Installation) -> None:
    assert installation.pupitre("install", "--as", "python3").returncode == 0
    path = installation.home / ".local/share/jupyter/kernels/python3/kernel.json"
    path.write_text(path.read_text().replace(str(installation.kernel), "/gone/bin/pupitre-kernel"))
    done = installation.pupitre("doctor")
    assert wrongs(done) == ["kernelspec"]
    assert "/gone/bin/pupitre-kernel, which is gone" in done.stdout


def test_spec_that_was_copied(installation: Installation, tmp_path: Path) -> None:
    """As `jupyter kernelspec install` and image builders do."""
    copy = tmp_path / "kernels" / "course"
    shutil.copytree(installation.spec, copy)
    done = installation.pupitre("doctor", JUPYTER_PATH=str(tmp_path))
    assert wrongs(done) == ["kernelspec"]
    assert f"{copy} was copied" in done.stdout and "pupitre install" in done.stdout


def test_a_written_spec_may_be_copied(installation: Installation, tmp_path: Path) -> None:
    assert installation.pupitre("install", "--as", "python3").returncode == 0
    written = installation.home / ".local/share/jupyter/kernels/python3"
    shutil.copytree(written, tmp_path / "kernels" / "course")
    assert json.loads((tmp_path / "kernels/course/kernel.json").read_text())["argv"][0] == str(installation.kernel)
    assert installation.pupitre("doctor", JUPYTER_PATH=str(tmp_path)).returncode == 0


def test_runtime_folder_open_to_others(installation: Installation, tmp_path: Path) -> None:
    (tmp_path / "runtime").mkdir()
    (tmp_path / "runtime").chmod(0o777)
    assert wrongs(installation.pupitre("doctor", JUPYTER_RUNTIME_DIR=str(tmp_path / "runtime"))) == ["folders"]


def test_runtime_folder_that_cannot_be(installation: Installation) -> None:
    assert wrongs(installation.pupitre("doctor", JUPYTER_RUNTIME_DIR="/dev/null/runtime")) == ["folders"]


def test_home_that_cannot_be_is_a_note(installation: Installation) -> None:
    done = installation.pupitre("doctor", HOME="/dev/null", JUPYTER_RUNTIME_DIR=str(installation.home))
    assert done.returncode == 0, done.stdout
    assert "note   folders" in done.stdout


def test_limits(installation: Installation) -> None:
    shell = 'ulimit -v "$0"; shift 0; exec "$@"'
    few = ["/bin/sh", "-c", shell, "200000", str(installation.prefix / "bin" / "python"), "-m", "pupitre.cli", "doctor"]
    done = run(*few, HOME=str(installation.home))
    assert "limits" in wrongs(done)


def lines_of(done: Done, check: str) -> list[str]:
    """What it says about one thing, each with its level."""
    said = [line.split(maxsplit=2) for line in done.stdout.splitlines()]
    return [f"{words[0]}: {words[2]}" for words in said if words[1:2] == [check]]


def test_no_nursery(installation: Installation, tmp_path: Path) -> None:
    done = installation.pupitre("doctor", PUPITRE_NURSERY=str(tmp_path / "none"))
    assert done.returncode == 0, done.stdout
    assert lines_of(done, "nursery") == ["ok: none: each kernel starts a Python of its own"]
    assert lines_of(done, "start")[1:] == ["ok: its Python was started for it"]


@pytest.fixture
def refusing(tmp_path: Path) -> Iterator[Path]:
    """The socket of a nursery that is full."""
    magic, version, refused, full = 0x4E505550, 1, 18, 5
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()

        def serve() -> None:
            while True:
                try:
                    connection = listener.accept()[0]
                except OSError:  # shut down
                    return
                with connection:
                    connection.settimeout(10)
                    identity = struct.unpack_from("=Q", connection.recv(128), 8)[0]
                    answer = struct.pack("=IHHQiiHHIQQQ", magic, version, refused, identity, 0, 0, full, *[0] * 5)
                    connection.send(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield tmp_path / "s"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def test_nursery_that_refuses(installation: Installation, refusing: Path) -> None:
    done = installation.pupitre("doctor", PUPITRE_NURSERY=str(refusing))
    assert done.returncode == 0, done.stdout
    why = "the nursery has as many kernels as it may"
    there = f"note: not used, kernels start the ordinary way: {why} (the nursery at {refusing})"
    assert lines_of(done, "nursery") == [there]
    ordinary = "note: its Python was started the ordinary way, not copied from the nursery's"
    assert lines_of(done, "start")[1:] == [f"{ordinary}: {why}"]


def test_nursery_that_the_environment_forbids(installation: Installation, refusing: Path) -> None:
    done = installation.pupitre("doctor", PUPITRE_NURSERY=str(refusing), PYTHONHASHSEED="1")
    assert done.returncode == 0, done.stdout
    assert "PYTHONHASHSEED=1" in lines_of(done, "nursery")[0]
    assert "an environment variable is set that a copied Python cannot follow" in lines_of(done, "start")[1]


def interpreter() -> ModuleType:
    """kernel/pupitre/interpreter.py, as scripts/setup runs it: by its path."""
    spec = importlib.util.spec_from_file_location("interpreter", ROOT / "kernel/pupitre/interpreter.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name, value", [("Py_ENABLE_SHARED", 0), ("INSTSONAME", "libpython3.11.so.nowhere")])
def test_interpreter_without_shared_libpython(monkeypatch: pytest.MonkeyPatch, name: str, value: object) -> None:
    module = interpreter()
    assert module.unfit() is None
    real = sysconfig.get_config_var
    monkeypatch.setattr(sysconfig, "get_config_var", lambda asked: value if asked == name else real(asked))
    assert "no shared libpython" in module.unfit()


def test_interpreter_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    module = interpreter()
    monkeypatch.setattr(module, "OLDEST", (4, 0))
    assert "needs 4.0 or newer" in module.unfit()


@pytest.mark.parametrize(
    "arguments, python, status",
    [(["--what"], "/usr/bin/python3", 2), ([], "/nowhere/python3", 3), ([], "/bin/false", 3)],
    ids=["option", "missing", "broken"],
)
def test_setup_refuses_in_one_line(arguments: list[str], python: str, status: int, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    for part in ("scripts", "kernel/pupitre", "requirements"):
        shutil.copytree(ROOT / part, clone / part)
    done = run(clone / "scripts" / "setup", *arguments, PYTHON=python)
    assert done.returncode == status, done.stdout
    assert done.stdout.splitlines()[-1].startswith("setup: ")
    assert not (clone / ".venv").exists()
