# SPDX-License-Identifier: BSD-3-Clause
"""A nursery of the bench's own, on a socket of its own: with nobody else's kernels in it, and free of limits."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from .peers import Kind, parent, workers
from .wire import NoAnswer

READY_SECONDS = 180.0  # imports and rehearsal on a busy machine
END_SECONDS = 10.0
LIMITS = ("--max-total", "20000", "--max-per-user", "20000", "--burst", "20000")


class Nursery:
    """A running nursery that can fork. NoAnswer when it does not get that far. A context manager."""

    def __init__(self, kind: Kind, home: Path, without: tuple[str, ...] = ()) -> None:
        self.kind = kind
        self.socket = home / "nursery" / "nursery.sock"
        self.socket.parent.mkdir(mode=0o700, exist_ok=True)
        self._log = self.socket.with_suffix(".log")
        self._program = str(Path(os.path.normpath(kind.argv[0])).with_name("pupitre"))
        self._options = [word for trick in without for word in ("--without", trick)]
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("XDG_CONFIG")}
        self._environment["XDG_CONFIG_HOME"] = str(home)  # the caller's nursery.toml is not meant for the bench
        self.launch()
        try:
            self.await_ready()
        except NoAnswer:
            self.close()
            raise

    def launch(self) -> None:
        """Start the listener, which builds its template."""
        words = [self._program, "nursery", "--socket", str(self.socket), *LIMITS, *self._options]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                env=self._environment,
            )

    def await_ready(self) -> None:
        """Until it says `ready`. NoAnswer with its own words when it ends or is late."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + READY_SECONDS
        said = b""
        while b"ready" not in said:
            left = deadline - time.monotonic()
            readable = select.select([self.process.stdout], [], [], max(0.0, left))[0]
            chunk = os.read(self.process.stdout.fileno(), 4096) if readable else b""
            if not chunk:
                words = self._log.read_text(errors="replace").strip().splitlines()
                why = words[-1] if words else "it says nothing"
                raise NoAnswer(f"no nursery within {READY_SECONDS:.0f} s: {why}" if left <= 0 else f"no nursery: {why}")
            said += chunk

    def status(self) -> dict[str, Any]:
        """What `pupitre nursery status --json` says."""
        words = [self._program, "nursery", "status", "--json", "--socket", str(self.socket)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False, env=self._environment)
        try:
            found: dict[str, Any] = json.loads(done.stdout)
        except ValueError:
            raise NoAnswer(f"nursery status: {done.stderr.strip() or 'no JSON'}") from None
        return found

    def templates(self) -> list[int]:
        return [template["pid"] for template in self.status()["templates"]]

    def kill(self) -> None:
        """SIGKILL for the listener alone, as if it had crashed."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(timeout=END_SECONDS)
        if self.process.stdout is not None:
            self.process.stdout.close()

    def close(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(timeout=END_SECONDS)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(timeout=END_SECONDS)
        if self.process.stdout is not None:
            self.process.stdout.close()

    def __enter__(self) -> Nursery:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def is_born(front: int) -> bool:
    """Whether the worker of this front was forked by a nursery: its parent is not the front."""
    found = workers(front)
    return bool(found) and all(parent(worker) != front for worker in found)
