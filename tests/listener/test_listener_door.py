# SPDX-License-Identifier: BSD-3-Clause
"""The socket in the file system, the command line, the end."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import socket
import stat
import subprocess
from pathlib import Path

import pytest
from listener import PYTHON, USUAL, Listener, eventually, find_program, has_ended, words
from messages import DEADLINE
from people import ALICE, become, nothing, run
from pupitre.nursery.door import Shut, notifier, open_door

# Come and go, on and on; a line after the first 5,000.
KNOCK = """
import itertools, socket, sys
for number in itertools.count():
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK) as visitor:
        visitor.connect_ex(sys.argv[1])
    if number == 5000:
        print("knocks", flush=True)
"""


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def refusal(path: Path) -> str:
    """Why nobody may listen there."""

    def act() -> str:
        try:
            open_door(str(path), system=False)
        except Shut as error:
            return str(error)
        return ""

    return str(run(nothing, act))


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o777])
@pytest.mark.parametrize("system", [False, True])
def test_modes(folder: Path, system: bool, umask: int) -> None:
    with Listener(folder, system=system, before=lambda: os.umask(umask) and None) as listener:
        assert mode_of(listener.path.parent) == (0o755 if system else 0o700)
        assert mode_of(listener.path) == (0o666 if system else 0o600)
        assert stat.S_ISSOCK(listener.path.stat().st_mode)


def test_keeps_a_directory_that_is_there(folder: Path) -> None:
    (folder / "run").mkdir(mode=0o711)
    with Listener(folder) as listener, listener.started():
        assert mode_of(listener.path.parent) == 0o711


@pytest.mark.parametrize("wrong", ["owner", "group", "others"])
def test_refuses_a_directory_that_others_may_change(folder: Path, wrong: str) -> None:
    run = folder / "run"
    run.mkdir(mode=0o755)
    if wrong == "owner":
        os.chown(run, ALICE, ALICE)
    else:
        run.chmod(0o775 if wrong == "group" else 0o757)
    assert "belongs to another user" in refusal(run / "s")
    assert list(run.iterdir()) == []


def test_refuses_what_is_no_socket(folder: Path) -> None:
    (folder / "s").write_text("precious")
    assert "no socket of ours" in refusal(folder / "s")
    assert (folder / "s").read_text() == "precious"


def test_refuses_a_link_to_a_socket(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as elsewhere:
        elsewhere.bind(str(folder / "elsewhere"))
        (folder / "s").symlink_to("elsewhere")
        assert "no socket of ours" in refusal(folder / "s")
        assert (folder / "s").is_symlink()


def test_refuses_a_socket_of_somebody_else(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as other:
        other.bind(str(folder / "s"))
        os.chown(folder / "s", ALICE, ALICE)
        assert "no socket of ours" in refusal(folder / "s")
        assert (folder / "s").exists()


@pytest.mark.parametrize("kind", [socket.SOCK_SEQPACKET, socket.SOCK_STREAM])
def test_refuses_a_socket_that_somebody_listens_at(folder: Path, kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_UNIX, kind) as other:
        other.bind(str(folder / "s"))
        other.listen()
        assert "already listens" in refusal(folder / "s")
        assert (folder / "s").exists()


def test_second_listener_leaves_the_first_alone(per_user: Listener) -> None:
    assert "already listens" in refusal(per_user.path)
    with per_user.started():
        pass


def test_comes_back_after_sigkill(folder: Path) -> None:
    for _ in range(3):
        with Listener(folder) as listener:
            with listener.started():
                pass
            listener.process.kill()
            listener.process.wait(DEADLINE)
            assert listener.path.exists()


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_removes_its_socket(folder: Path, signum: int) -> None:
    with Listener(folder) as listener:
        listener.process.send_signal(signum)
        assert listener.process.wait(DEADLINE) == 0
        assert not listener.path.exists() and listener.path.parent.exists()


def test_hears_signals_in_a_crowd(folder: Path) -> None:
    """There is always somebody at the door."""
    with Listener(folder) as listener, contextlib.ExitStack() as stack:
        pidfd = os.pidfd_open(listener.process.pid)
        stack.callback(os.close, pidfd)
        crowd = [subprocess.Popen([PYTHON, "-c", KNOCK, listener.path], stdout=subprocess.PIPE) for _ in range(3)]
        for process in crowd:
            stack.enter_context(process)
            stack.callback(process.kill)
        for process in crowd:
            assert process.stdout is not None and process.stdout.readline()
        listener.process.terminate()
        assert has_ended(pidfd)


def test_removes_nobody_elses_socket(folder: Path) -> None:
    with Listener(folder) as listener:
        listener.path.unlink()
        listener.path.write_text("another")
        listener.process.terminate()
        assert listener.process.wait(DEADLINE) == 0
        assert listener.path.read_text() == "another"


GOOD = {"template": "/bin/true", "python": PYTHON, "home": "/", "settings": "{}"} | USUAL


@pytest.mark.parametrize(
    "change",
    [{name: None} for name in GOOD]
    + [{"template": "relative"}, {"python": "python3"}, {"home": ""}, {"burst": "-1"}]
    + [{"burst": "x"}, {"burst": "1x"}, {"max-total": "4294967296"}, {"min-uid": ""}, {"what": "1"}, {"": ""}],
    ids=str,
)
def test_usage(change: dict[str, str | None]) -> None:
    options = {name: value for name, value in (GOOD | change).items() if value is not None}
    done = subprocess.run([find_program(), *words(options)], capture_output=True, text=True, timeout=DEADLINE)
    assert done.returncode == 2 and "pupitre nursery" in done.stderr


def test_option_without_value() -> None:
    done = subprocess.run([find_program(), "--home"], capture_output=True, timeout=DEADLINE)
    assert done.returncode == 2


def test_without_a_door() -> None:
    """Descriptor 0 is nothing that listens: it is started by `pupitre nursery` alone."""
    done = subprocess.run([find_program(), *words(GOOD)], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.startswith("pupitre-nursery: error: ") and done.stderr.count("\n") == 1


def test_only_root_serves_all(folder: Path) -> None:
    """The command line of another says so."""
    program = folder / "pupitre-nursery"
    shutil.copy(find_program(), program)  # where everybody may execute it
    command = ["setpriv", "--reuid", str(ALICE), "--clear-groups", str(program), *words(GOOD), "--system"]
    assert subprocess.run(command, capture_output=True, timeout=DEADLINE).returncode == 2


def test_socket_in_a_directory_of_long_name(folder: Path) -> None:
    deep = folder / ("d" * 60) / ("e" * 60)
    deep.parent.mkdir()
    with Listener(folder, path=deep / "n.sock") as listener:
        os.chdir(deep)
        try:
            listener.path = Path("n.sock")
            with listener.started():
                pass
        finally:
            os.chdir("/")


@pytest.mark.parametrize("abstract", [False, True])
def test_tells_systemd(folder: Path, monkeypatch: pytest.MonkeyPatch, abstract: bool) -> None:
    name = f"@pupitre-test-{os.getpid()}" if abstract else str(folder / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    assert notifier() is None  # nobody is there
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.settimeout(DEADLINE)
        systemd.bind(name.replace("@", "\0") if abstract else name)
        ear = notifier()
        assert ear is not None
        with ear, Listener(folder, notify=ear) as listener:
            assert systemd.recv(1000).startswith(b"READY=1\nSTATUS=")
            listener.process.terminate()
            assert systemd.recv(1000) == b"STOPPING=1"
    monkeypatch.delenv("NOTIFY_SOCKET")
    assert notifier() is None


def test_what_a_template_is_started_with(folder: Path) -> None:
    limits = (600, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    kept = []

    def before() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
        for _ in range(5):
            fd = os.open("/etc/passwd", os.O_RDONLY)
            os.set_inheritable(fd, True)
            kept.append(fd)

    secret = {"SECRET": "x", "LD_PRELOAD": "", "PYTHONPATH": "/x", "PYTHONHASHSEED": "1", "OMP_NUM_THREADS": "7"}
    with Listener(folder, environment=secret, before=before) as listener:
        start = listener.events("start")[0]
        assert start["environment"] == {"HOME": str(folder), "PUPITRE_PYTHON": PYTHON, "PUPITRE_LOG_LEVEL": "info"}
        files = start["fds"]
        assert files["0"] == "/dev/null"
        assert files["1"] == files["2"] == str(folder / "stderr")
        assert files["3"].startswith("socket:")
        assert start["open"] == ["0", "1", "2", "3"]
        assert start["cwd"] == "/" and start["pgid"] == start["pid"]
        assert tuple(start["nofile"]) == limits
        assert start["ignored"] == "0000000001001000"  # SIGPIPE and SIGXFSZ, by Python itself
        assert start["blocked"] == "0000000000000000"
        limit = Path(f"/proc/{listener.process.pid}/limits").read_text().split("Max open files")[1].split()[0]
        assert int(limit) == limits[1]


def test_template_ends_when_the_listener_is_killed_while_it_builds(folder: Path) -> None:
    os.mkfifo(folder / "slow")
    with Listener(folder, ready=False) as listener:
        start = eventually(lambda: listener.events("start"))[0]
        pidfd = os.pidfd_open(start["pid"])
        listener.process.kill()
        assert has_ended(pidfd)
        os.close(pidfd)


def test_reload_by_sighup(per_user: Listener) -> None:
    per_user.process.send_signal(signal.SIGHUP)
    eventually(lambda: len(per_user.events("ready")) == 2)
    eventually(lambda: [state for _, state, *_ in per_user.status().templates] == [2], "one that is ready")


def test_serves_its_own_user(folder: Path) -> None:
    """Without any privileges."""
    os.chown(folder, ALICE, ALICE)
    with Listener(folder, before=lambda: become(ALICE)) as listener:
        assert listener.path.stat().st_uid == ALICE
        status = Path(f"/proc/{listener.process.pid}/status").read_text()
        assert "CapPrm:\t0000000000000000" in status
