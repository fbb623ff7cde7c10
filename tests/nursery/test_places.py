# SPDX-License-Identifier: BSD-3-Clause
"""A user of whom there is no runtime directory starts a nursery, uses and ends it, without saying where it is."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from nursery import AS_ROOT, DEADLINE, NEIGHBOUR, QUICK, READY_DEADLINE, USER, Begin, Start, pupitre

Run = Callable[..., "subprocess.CompletedProcess[str]"]
SYSTEM = [pytest.param(True, id="system"), pytest.param(False, id="user")] if AS_ROOT else [False]


def as_user(uid: int) -> list[str]:
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"] if AS_ROOT else []


@pytest.fixture
def home(directory: Path) -> Path:
    place = directory / "home"
    place.mkdir(mode=0o700)
    if AS_ROOT:
        os.chown(place, USER.uid, USER.gid)
    return place


@pytest.fixture
def surroundings(home: Path) -> dict[str, str]:
    names = ("XDG_RUNTIME_DIR", "PUPITRE_NURSERY")
    return {name: value for name, value in os.environ.items() if name not in names} | {"HOME": str(home)}


@pytest.fixture
def run(surroundings: dict[str, str]) -> Run:
    """run(*words, uid): a program as the user, to its end."""

    def run(*words: str, uid: int = USER.uid) -> subprocess.CompletedProcess[str]:
        command = [*as_user(uid), *words]
        return subprocess.run(command, env=surroundings, capture_output=True, text=True, timeout=DEADLINE * 3)

    return run


@pytest.fixture
def running(surroundings: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """`pupitre nursery`, once it is ready."""
    words = [*as_user(USER.uid), pupitre(), "nursery", *QUICK]
    with subprocess.Popen(words, env=surroundings, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout and select.select([process.stdout], [], [], READY_DEADLINE)[0]
        assert process.stdout.readline() == b"ready\n"
        yield process
        process.kill()


def test_without_a_runtime_directory(running: subprocess.Popen[bytes], run: Run, home: Path) -> None:
    place = f"{home}/.local/state/pupitre/nursery-{os.uname().nodename}.sock"
    assert f"ready, at {place}, for one user, pid {running.pid}" in run(pupitre(), "nursery", "status").stdout
    kernel = str(Path(pupitre()).with_name("pupitre-kernel"))
    assert f"come from the nursery at {place}: " in run(kernel, "--ask-nursery").stdout
    report = run(pupitre(), "doctor").stdout
    assert f"come from the nursery at {place}: " in report
    assert "its Python was copied from the nursery's" in report
    assert run(pupitre(), "nursery", "reload").stdout.startswith(f"{place}: ")
    done = run(pupitre(), "nursery", "stop")
    assert (done.returncode, done.stdout) == (0, f"{place}: ended; kernels that it forked live on\n")
    assert running.poll() == 0 and not Path(place).exists()
    done = run(pupitre(), "nursery", "stop")
    assert done.returncode == 3 and place in done.stderr


@pytest.mark.parametrize("system", SYSTEM)
def test_stop(begin: Begin, start: Start, run: Run, system: bool) -> None:
    """Only by who started it, or root; kernels live on."""
    nursery = begin(*QUICK, system=system)
    client = start(nursery).client()
    uid = os.geteuid()
    if AS_ROOT:
        done = run(pupitre(), "nursery", "stop", "--socket", str(nursery.socket), uid=NEIGHBOUR.uid)
        assert (done.returncode, done.stdout) == (1 if system else 3, "")
        assert nursery.process.poll() is None
    done = run(pupitre(), "nursery", "stop", "--socket", str(nursery.socket), uid=uid)
    assert (done.returncode, done.stderr) == (0, "")
    assert nursery.process.wait(DEADLINE) == 0
    assert client.ok("1 + 1").text == "2"
    done = run(pupitre(), "nursery", "stop", "--socket", str(nursery.socket), uid=uid)
    assert done.returncode == 3 and "no nursery listens at" in done.stderr


@pytest.mark.long
def test_a_nursery_that_does_not_end(begin: Begin, run: Run) -> None:
    nursery = begin(*QUICK)
    nursery.signal(signal.SIGSTOP)
    done = run(pupitre(), "nursery", "stop", "--socket", str(nursery.socket), uid=os.geteuid())
    assert done.returncode == 1 and "did not end within 10 s" in done.stderr
    nursery.signal(signal.SIGCONT)
    assert nursery.process.wait(DEADLINE) == 0
