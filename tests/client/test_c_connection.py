# SPDX-License-Identifier: BSD-3-Clause
"""Specification table, section C, and hazards P24, T7, T8: the connection file, good and bad."""

import json
import os
import socket
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from launch import Kernel, command, connection_content, environment, free_ports
from raw import CHANNELS, Connection, Content

Launch = Callable[..., Kernel]
UNREADABLE, USAGE, TAKEN, NO_WORKER, UNSIGNED = 1, 2, 3, 4, 5


def attempt(
    directory: Path, *args: str, env: dict[str, str] | None = None, user: int | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the kernel's command with these arguments; it is to end by itself."""
    argv, spec_env = command()
    return subprocess.run(
        [*argv, *args],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=10,
        cwd=directory,
        env={**environment(directory), **spec_env, **(env or {})},
        user=user,
        check=False,
    )


def refused(result: subprocess.CompletedProcess[str], status: int, *words: str) -> None:
    """One line on standard error that names what is wrong, and the documented status."""
    assert result.returncode == status, f"{result.returncode}: {result.stderr}"
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    for word in words:
        assert word in lines[0], f"{word!r} not in {lines[0]!r}"
    assert result.stdout == ""


def write(directory: Path, content: Any) -> str:
    path = directory / "connection.json"
    path.touch(0o600)
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return str(path)


# -- what is read ---


def test_c_ports_may_be_strings(launch: Launch, directory: Path) -> None:
    content = connection_content(directory, "tcp")
    kernel = launch(content={**content, **{f"{c}_port": str(content[f"{c}_port"]) for c in CHANNELS}})
    assert kernel.client().ok("1").text == "1"


def test_c_ports_may_be_whole_reals(launch: Launch, directory: Path) -> None:
    """As languages write them that have no integers."""
    content = connection_content(directory, "tcp")
    kernel = launch(content={**content, **{f"{c}_port": float(content[f"{c}_port"]) for c in CHANNELS}})
    assert kernel.client().ok("1").text == "1"


def test_c_registration_beside_all_ports_is_ignored(launch: Launch, directory: Path) -> None:
    kernel = launch(content=connection_content(directory, "tcp", registration_ip="127.0.0.1", registration_port=5555))
    assert kernel.client().ok("1").text == "1"


def test_c_unknown_keys_are_kept(launch: Launch, directory: Path) -> None:
    """jupyter_session and the like survive the writing back of ports."""
    others = {"jupyter_session": "notebook.ipynb", "other": {"a": [1, None]}, "big": -(10**18)}
    content = connection_content(directory, "tcp", **others)
    kernel = launch(content={**content, "shell_port": 0}, wait=False)
    kernel.wait_ports()
    written = json.loads(kernel.file.read_text())
    assert {**written, "shell_port": 0} == {**content, "shell_port": 0}


def test_c_file_is_not_rewritten_when_nothing_changed(launch: Launch) -> None:
    kernel = launch()
    assert json.loads(kernel.file.read_text()) == kernel.content
    assert kernel.file.read_text() == json.dumps(kernel.content)


def test_c_defaults(launch: Launch, directory: Path) -> None:
    """transport, ip and signature_scheme may be missing."""
    content = connection_content(directory, "tcp")
    bare = {
        key: value
        for key, value in content.items()
        if key not in ("transport", "ip", "signature_scheme", "kernel_name")
    }
    kernel = launch(content=bare)
    assert kernel.client().ok("1").text == "1"


def test_c_permissions_of_a_written_file(launch: Launch, directory: Path) -> None:
    content = connection_content(directory, "tcp") | {f"{channel}_port": 0 for channel in CHANNELS}
    kernel = launch(content=content, wait=False)
    kernel.wait_ports()
    assert stat.S_IMODE(kernel.file.stat().st_mode) == 0o600


def test_c_file_that_was_there_stays(launch: Launch) -> None:
    kernel = launch()
    client = kernel.client()
    client.request("shutdown_request", {"restart": False}, channel="control")
    assert kernel.wait_exit() == 0
    assert kernel.file.exists()


@pytest.mark.parametrize("transport", ["tcp", "ipc"])
def test_c_file_that_was_not_there_is_made_and_removed(directory: Path, transport: str) -> None:
    """`-f FILE` with no such file: ports are picked, a key is made up, and the file goes away at the end."""
    path = directory / "new" / "made.json"
    path.parent.mkdir(mode=0o700)
    argv, spec_env = command()
    kernel = subprocess.Popen(
        [*argv, "-f", str(path), f"--transport={transport}"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=directory,
        env={**environment(directory), **spec_env}, start_new_session=True,
    )  # fmt: skip
    try:
        content = made_file(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert content["key"] and content["transport"] == transport and content["signature_scheme"] == "hmac-sha256"
        check_and_stop(Connection.of(content))
        assert kernel.wait(10) == 0
        assert not path.exists()
    finally:
        kernel.kill()
        kernel.wait()


def made_file(path: Path) -> Content:
    from procs import FileWatch

    with FileWatch(path) as watch:
        while True:
            try:
                content: Content = json.loads(path.read_text())
                return content
            except (OSError, ValueError):
                watch.wait(20)


def check_and_stop(connection: Connection) -> None:
    from raw import Client

    client = Client(connection)
    client.take(lambda message: message.type == "iopub_welcome", "iopub_welcome", 20)
    assert client.collect(client.execute("6 * 7"), 20).text == "42"
    client.recv_reply(client.send("shutdown_request", {"restart": False}, channel="control"))
    client.close()


# -- what is refused ---

GOOD: Content = {
    **{f"{channel}_port": 15000 + n for n, channel in enumerate(CHANNELS)},
    "ip": "127.0.0.1", "transport": "tcp", "key": "k" * 32, "signature_scheme": "hmac-sha256", "kernel_name": "",
}  # fmt: skip

BAD_FILES: dict[str, tuple[Any, tuple[str, ...]]] = {
    "empty": (b"", ()),
    "not json": (b"shell_port=1", ()),
    "array": (b"[]", ()),
    "cut off": (json.dumps(GOOD).encode()[:50], ()),
    "binary": (os.urandom(500), ()),
    "two objects": (b"{}{}", ()),
    "not utf-8": (b'{"key": "\xff"}', ()),
    "huge": (b" " * 100_000 + json.dumps(GOOD).encode(), ()),
    "deep": (b'{"a":' * 5000 + b"1" + b"}" * 5000, ()),
    "port negative": ({**GOOD, "shell_port": -1}, ("shell_port",)),
    "port too large": ({**GOOD, "iopub_port": 65536}, ("iopub_port",)),
    "port a word": ({**GOOD, "hb_port": "high"}, ("hb_port",)),
    "port real": ({**GOOD, "stdin_port": 1.5}, ("stdin_port",)),
    "port list": ({**GOOD, "control_port": [5]}, ("control_port",)),
    "transport": ({**GOOD, "transport": "pgm"}, ("transport",)),
    "transport number": ({**GOOD, "transport": 7}, ("transport",)),
    "ip number": ({**GOOD, "ip": 7}, ("ip",)),
    "scheme": ({**GOOD, "signature_scheme": "hmac-md5"}, ("signature_scheme",)),
    "scheme without hmac": ({**GOOD, "signature_scheme": "sha256"}, ("signature_scheme",)),
    "key number": ({**GOOD, "key": 7}, ("key",)),
    "port too large for its type": ({**GOOD, "iopub_port": 1e300}, ("iopub_port",)),
    "registration": ({"transport": "tcp", "key": "k" * 32, "registration_port": 5555}, ("registration",)),
    "curve": ({**GOOD, "curve_publickey": "p" * 40, "curve_secretkey": "s" * 40}, ("curve",)),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_c_bad_file_is_refused(directory: Path, name: str) -> None:
    content, words = BAD_FILES[name]
    result = attempt(directory, "-f", write(directory, content))
    refused(result, UNREADABLE, "connection.json", *words)
    assert "k" * 32 not in result.stderr, "the key is never printed"


def test_c_name_below_no_directory_is_refused(directory: Path) -> None:
    """The current directory is gone, as after `rm -r` in another terminal."""
    gone = directory / "gone"
    gone.mkdir()
    argv, env = command()
    script = f'cd {gone} && rmdir {gone} && exec "$@"'
    result = subprocess.run(
        ["sh", "-c", script, "sh", *argv, "-f", "./k.json"], capture_output=True, text=True, timeout=10,
        env={**environment(directory), **env}, check=False,
    )  # fmt: skip
    refused(result, UNREADABLE, "k.json", "current directory")


def test_c_directory_is_refused(directory: Path) -> None:
    refused(attempt(directory, "-f", str(directory)), UNREADABLE)


def test_c_file_in_a_missing_directory_is_refused(directory: Path) -> None:
    refused(attempt(directory, "-f", str(directory / "no" / "such" / "file.json")), UNREADABLE, "file.json")


def test_c_foreign_file_is_refused(directory: Path) -> None:
    """Somebody else's file may name somebody else's key. Only root may read it."""
    path, nobody = "/etc/hostname", None
    if os.geteuid() == 0:
        path, nobody = write(directory, GOOD), 65534
        os.chmod(path, 0o644)
        directory.chmod(0o755)
    refused(attempt(directory, "-f", path, user=nobody), UNREADABLE, "another user")


def test_c_pipe_is_refused(directory: Path) -> None:
    os.mkfifo(directory / "fifo.json")
    refused(attempt(directory, "-f", str(directory / "fifo.json")), UNREADABLE, "fifo.json")


def test_c_empty_key_on_tcp_is_refused(directory: Path) -> None:
    refused(attempt(directory, "-f", write(directory, {**GOOD, "key": ""})), UNSIGNED, "allow-unsigned")


def test_c_missing_key_on_tcp_is_refused(directory: Path) -> None:
    content = {key: value for key, value in GOOD.items() if key != "key"}
    refused(attempt(directory, "-f", write(directory, content)), UNSIGNED, "allow-unsigned")


@pytest.mark.parametrize("channel", CHANNELS)
def test_c_taken_port_is_named(directory: Path, channel: str) -> None:
    ports = dict(zip(CHANNELS, free_ports(5), strict=True))
    with socket.create_server(("127.0.0.1", ports[channel])):
        content = {**GOOD, **{f"{name}_port": port for name, port in ports.items()}}
        result = attempt(directory, "-f", write(directory, content))
    refused(result, TAKEN, str(ports[channel]))


def test_c_same_port_twice_is_refused(directory: Path) -> None:
    [port] = free_ports(1)
    result = attempt(directory, "-f", write(directory, {**GOOD, **{f"{channel}_port": port for channel in CHANNELS}}))
    assert result.returncode in (UNREADABLE, TAKEN) and str(port) in result.stderr


def test_c_address_of_nobody_is_refused(directory: Path) -> None:
    refused(attempt(directory, "-f", write(directory, {**GOOD, "ip": "203.0.113.7"})), TAKEN, "203.0.113.7")


@pytest.mark.parametrize("ip", ["no such host", "fe80::1%nowhere"])
def test_c_name_of_no_host_is_refused(directory: Path, ip: str) -> None:
    refused(attempt(directory, "-f", write(directory, {**GOOD, "ip": ip})), TAKEN, ip)


def test_c_long_ipc_path_is_refused(directory: Path) -> None:
    content = {
        **GOOD,
        "transport": "ipc",
        "ip": str(directory / ("x" * 120)),
        **{f"{c}_port": n + 1 for n, c in enumerate(CHANNELS)},
    }
    result = attempt(directory, "-f", write(directory, content))
    assert result.returncode in (UNREADABLE, TAKEN) and "107" in result.stderr


def test_c_missing_worker_is_named(directory: Path) -> None:
    path = write(directory, connection_content(directory))
    refused(attempt(directory, "-f", path, env={"PUPITRE_WORKER": "/no/such/worker"}), NO_WORKER, "/no/such/worker")


def test_c_missing_python_is_named(directory: Path) -> None:
    path = write(directory, connection_content(directory))
    result = attempt(directory, "-f", path, env={"PUPITRE_PYTHON": "/no/such/python"})
    assert result.returncode == NO_WORKER and "/no/such/python" in result.stderr


def test_c_key_never_shows(launch: Launch) -> None:
    """Neither in the process list nor in the environment nor in the log."""
    kernel = launch(key="a-very-secret-key-0123456789")
    client = kernel.client()
    client.run("1/0")
    for process in kernel.processes():
        for name in ("cmdline", "environ"):
            assert b"a-very-secret-key" not in Path(f"/proc/{process.pid}/{name}").read_bytes()
    assert "a-very-secret-key" not in kernel.output()
