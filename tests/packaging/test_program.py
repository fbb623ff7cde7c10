# SPDX-License-Identifier: BSD-3-Clause
"""pupitre-kernel as a person types it: one line about what is wrong, the documented status, a complete man page."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path

import pytest
from conftest import ROOT, Done, Installation

GOOD = {
    "transport": "tcp",
    "ip": "127.0.0.1",
    "key": "secret",
    "signature_scheme": "hmac-sha256",
    **dict.fromkeys(("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port"), 0),
}


def start(installation: Installation, folder: Path, content: object, *options: str, **environment: str) -> Done:
    """Start it with a connection file of that content; it must end by itself."""
    file = folder / "kernel.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    file.chmod(0o600)
    return installation.run("pupitre-kernel", "-f", file, *options, **environment)


def refused(done: Done, status: int) -> str:
    """The one line, which must be there."""
    assert done.returncode == status, done.stdout
    assert done.stdout.count("\n") == 1, done.stdout
    assert done.stdout.startswith("pupitre-kernel: error: ")
    return done.stdout


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", '{"key": 1}', "\0", json.dumps({**GOOD, "transport": "pigeon"})],
)
def test_malformed_connection_file(installation: Installation, tmp_path: Path, content: str) -> None:
    refused(start(installation, tmp_path, content), 1)


@pytest.mark.parametrize("path", ["/nowhere/kernel.json", "/", "/dev/null"])
def test_unreadable_connection_file(installation: Installation, path: str) -> None:
    refused(installation.run("pupitre-kernel", "-f", path), 1)


@pytest.mark.parametrize("option", ["--shell=99999", "--transport=pigeon", "-f", "--version=1"])
def test_usage(installation: Installation, option: str) -> None:
    refused(installation.run("pupitre-kernel", option), 2)


def test_port_taken(installation: Installation, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert str(port) in refused(start(installation, tmp_path, {**GOOD, "shell_port": port}), 3)


def test_address_of_another_machine(installation: Installation, tmp_path: Path) -> None:
    refused(start(installation, tmp_path, {**GOOD, "ip": "192.0.2.1"}), 3)


def test_worker_missing(installation: Installation, tmp_path: Path) -> None:
    refused(start(installation, tmp_path, GOOD, PUPITRE_WORKER="/nowhere/pupitre-worker"), 4)


def test_worker_does_not_start(installation: Installation, tmp_path: Path) -> None:
    done = start(installation, tmp_path, GOOD, PUPITRE_WORKER="/bin/false")
    assert done.returncode == 4, done.stdout


def test_unsigned_tcp(installation: Installation, tmp_path: Path) -> None:
    assert "--allow-unsigned" in refused(start(installation, tmp_path, {**GOOD, "key": ""}), 5)
    refused(start(installation, tmp_path, GOOD, "--no-secure"), 5)


def test_version_names_the_libraries(installation: Installation) -> None:
    done = installation.run("pupitre-kernel", "--version")
    assert done.returncode == 0
    words = [line.split()[0] for line in done.stdout.splitlines()]
    assert words == ["pupitre-kernel", "libzmq", "OpenSSL", "jansson"]


def test_man_page_has_every_option_of_ours(installation: Installation) -> None:
    shown = installation.run("pupitre-kernel", "--help").stdout
    page = (ROOT / "docs/man/pupitre-kernel.1").read_text().replace("\\-", "-")
    options = re.findall(r"^  (-[-\w]+)", shown, re.MULTILINE)
    assert len(options) > 10
    missing = [option for option in options if not re.search(rf"(?<![-\w]){option}(?![-\w])", page)]
    assert missing == []


def test_man_page_has_every_exit_status() -> None:
    page = (ROOT / "docs/man/pupitre-kernel.1").read_text()
    main = (ROOT / "kernel/front/main.c").read_text()
    statuses = re.findall(r"EXIT_\w+ = (\d)", main)
    assert statuses
    assert [status for status in ("0", *statuses) if f".B {status}\n" not in page] == []
