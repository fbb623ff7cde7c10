# SPDX-License-Identifier: BSD-3-Clause
"""`pupitre nursery` as a person or a unit file runs it, with stand-ins for the listener at either end."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEADLINE = 60.0  # seconds for a program to end

Done = subprocess.CompletedProcess[str]

# Says what it was given and ends: what pupitre-nursery would have got, --socket and --notify standing for
# its descriptors 0 and 3.
RECORDER = """#!{python}
import json, os, socket, sys
words = sys.argv[1:]
door = socket.socket(fileno=0)
if door.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) and not os.get_blocking(0):
    words += ["--socket", os.path.join(os.getcwd(), door.getsockname()), "--notify", os.readlink("/proc/self/fd/3")]
print(json.dumps([words, dict(os.environ), os.readlink("/proc/self/fd/2")]))
"""


class Cli:
    """The command, in an environment where nothing is set but what a test sets."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runtime = folder / "run"
        self.runtime.mkdir(mode=0o700)
        self.libexec = folder / "libexec"
        self.libexec.mkdir()
        for name in ("pupitre-nursery", "pupitre-scribe", "pupitre-template"):
            program = self.libexec / name
            program.write_text(RECORDER.format(python=sys.executable))
            program.chmod(0o755)
        self.environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(folder / "home"),
            "XDG_RUNTIME_DIR": str(self.runtime),
            "PUPITRE_NURSERY_BIN": str(self.libexec / "pupitre-nursery"),
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        }

    def run(self, *arguments: str | Path, **environment: str | None) -> Done:
        """`pupitre nursery ARGUMENTS`; variables that are None are taken out."""
        wanted = {name: value for name, value in {**self.environment, **environment}.items() if value is not None}
        return subprocess.run(
            [sys.executable, "-m", "pupitre.cli", "nursery", *arguments],
            env=wanted,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
        )

    def started(self, *arguments: str | Path, **environment: str | None) -> dict[str, Any]:
        """What pupitre-nursery is started with: its options, those without a value being true."""
        done = self.run(*arguments, **environment)
        assert (done.returncode, done.stderr) == (0, "")
        words = json.loads(done.stdout)[0]
        options: dict[str, Any] = {}
        for word in words:
            if word.startswith("--"):
                last = word[2:]
                assert last not in options
                options[last] = True
            else:
                options[last] = word
        options["settings"] = json.loads(options["settings"])
        return options

    def refused(self, *arguments: str | Path, status: int = 2, **environment: str | None) -> str:
        """The one line on standard error, without its prefix."""
        done = self.run(*arguments, **environment)
        assert (done.returncode, done.stdout) == (status, ""), done
        assert done.stderr.count("\n") == 1, done.stderr
        assert done.stderr.startswith("pupitre nursery: "), done.stderr
        return done.stderr.removeprefix("pupitre nursery: ").rstrip("\n")

    def config(self, text: str | bytes, name: str = "nursery.toml") -> Path:
        """A file for --config."""
        path = self.folder / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


Said = bytes | tuple[bytes, bytes]  # a datagram, or one with the content of the file that comes with it


def say(peer: socket.socket, said: Said) -> None:
    datagram, content = said if isinstance(said, tuple) else (said, None)
    if content is None:
        peer.send(datagram)
        return
    file = os.memfd_create("rows")
    os.write(file, content)
    socket.send_fds(peer, [datagram], [file])
    os.close(file)


class Peer:
    """A listener that answers one question with the datagrams it was given, and the next with `ledger`."""

    def __init__(self, path: Path, answers: list[Said], silent: bool = False, ledger: list[Said] | None = None) -> None:
        self.path = path
        self.answers = [answers, ledger or []]
        self.silent = silent
        self.questions: list[bytes] = []
        path.parent.mkdir(parents=True, exist_ok=True)
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listening.settimeout(DEADLINE)
        self._listening.bind(str(path))
        self._listening.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def question(self) -> bytes:
        return self.questions[0]

    def _serve(self) -> None:
        for answers in self.answers:
            try:
                peer, _ = self._listening.accept()
            except OSError:
                return
            with peer:
                self._answer(peer, answers)

    def _answer(self, peer: socket.socket, answers: list[Said]) -> None:
        peer.settimeout(DEADLINE)
        try:
            self.questions.append(peer.recv(4096))
            for answer in answers:
                say(peer, answer)
            if self.silent:
                peer.recv(1)
        except ConnectionError:
            pass  # it may leave when it knows enough

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)  # wakes accept
        self._listening.close()
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive()


@pytest.fixture
def sleeper() -> Iterator[int]:
    """The pid of a process of ours that does nothing."""
    process = subprocess.Popen(["sleep", "600"])
    yield process.pid
    process.kill()
    process.wait()
