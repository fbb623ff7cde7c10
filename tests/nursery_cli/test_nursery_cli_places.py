# SPDX-License-Identifier: BSD-3-Clause
"""Where a nursery listens and is looked for, with and without a runtime directory, and what $PUPITRE_NURSERY says."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest
from conftest import Cli
from pupitre.nursery import messages, places, settings, status

MACHINE = os.uname().nodename
SYSTEM = "/run/pupitre/nursery.sock"


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In this process neither variables nor a runtime directory; a home, and where systemd would make the latter."""
    for name in (messages.SOCKET_VARIABLE, "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(messages, "RUNTIME_FOLDERS", f"{tmp_path}/users/")
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    monkeypatch.setenv("HOME", str(home))
    return tmp_path


def in_home(bare: Path) -> str:
    return f"{bare}/home/.local/state/pupitre/nursery-{MACHINE}.sock"


def by_systemd(bare: Path, mode: int = 0o700) -> Path:
    folder = bare / "users" / str(os.geteuid())
    folder.mkdir(parents=True)
    folder.chmod(mode)
    return folder


def listening(path: str) -> socket.socket:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    found = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    found.bind(path)
    found.listen()
    return found


def test_in_the_home(bare: Path) -> None:
    assert places.to_listen() == in_home(bare)


def test_where_systemd_makes_the_runtime_directory(bare: Path) -> None:
    """As after `su -`, from cron, or below JupyterHub, where no variable says so."""
    folder = by_systemd(bare)
    assert places.to_listen() == f"{folder}/pupitre/nursery.sock"


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770])
def test_not_where_others_may_write(bare: Path, monkeypatch: pytest.MonkeyPatch, mode: int) -> None:
    open_to_all = bare / "open"
    open_to_all.mkdir()
    open_to_all.chmod(mode)
    by_systemd(bare, mode)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(open_to_all))
    assert places.to_listen() == in_home(bare)
    (bare / "home").chmod(mode)
    assert places.to_listen() is None
    with pytest.raises(settings.Wrong, match="say --socket PATH, and PUPITRE_NURSERY=PATH"):
        settings.default_socket(system=False)


@pytest.mark.parametrize("name", ["XDG_RUNTIME_DIR", "HOME"])
def test_not_in_what_is_somebody_elses(bare: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """As after `su` and `sudo -E`, which leave variables of who called them."""
    monkeypatch.setenv(name, str(bare))
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    assert places.to_listen() is None


def test_a_runtime_directory_that_is_not_there(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(bare / "none"))
    assert places.to_listen() == in_home(bare)


def test_those_who_ask_try_all(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever variables the nursery was started with: those of a Jupyter are others."""
    by_variable, usual = str(bare / "run"), f"{bare}/users/{os.geteuid()}/pupitre/nursery.sock"
    assert places.to_ask() == [usual, in_home(bare), SYSTEM]
    monkeypatch.setenv("XDG_RUNTIME_DIR", by_variable)
    assert places.to_ask() == [f"{by_variable}/pupitre/nursery.sock", usual, in_home(bare), SYSTEM]
    monkeypatch.delenv("HOME")
    assert places.to_ask() == [f"{by_variable}/pupitre/nursery.sock", usual, SYSTEM]
    for place in (in_home(bare), usual, f"{by_variable}/pupitre/nursery.sock"):
        monkeypatch.setenv("HOME", str(bare / "home"))
        with listening(place), status.connect(None)[0] as peer:
            assert peer.getpeername() == place


def test_the_variable_names_the_place_for_all(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    place = cli.folder / "mine" / "n.sock"
    told = {"PUPITRE_NURSERY": str(place)}
    assert cli.started(**told)["socket"] == str(place)
    assert cli.started("--config", cli.config('socket = "by-file.sock"'), **told)["socket"] == str(place)
    assert cli.started("--socket", "n.sock", **told)["socket"] == str(cli.folder / "n.sock")
    place.unlink()
    other = cli.folder / "other.sock"
    for action in ("status", "drain", "reload", "stop"):
        assert f"no nursery listens at {place}" in cli.refused(action, status=3, **told)
        assert f"no nursery listens at {other}" in cli.refused(action, "--socket", other.name, status=3, **told)
        assert f"no nursery listens at {SYSTEM}" in cli.refused(action, "--system", status=3, **told)
    monkeypatch.setenv("PUPITRE_NURSERY", str(place))
    assert places.to_ask() == [str(place)]


@pytest.mark.parametrize("off", ["off", ""])
def test_the_variable_is_off(cli: Cli, off: str) -> None:
    """No kernel would ask: so nobody starts a nursery but who says where."""
    assert cli.refused(PUPITRE_NURSERY=off) == (
        "PUPITRE_NURSERY is off, so that no kernel would ask: unset it, or say --socket PATH"
    )
    for action in ("status", "drain", "reload", "stop"):
        assert cli.refused(action, status=3, PUPITRE_NURSERY=off) == "PUPITRE_NURSERY is off"
    assert cli.started("--socket", "n.sock", PUPITRE_NURSERY=off)["socket"] == str(cli.folder / "n.sock")


def test_folders_in_the_home_are_made_private(cli: Cli) -> None:
    home = cli.folder / "home"
    home.mkdir(mode=0o755)
    place = home / ".local/state/pupitre" / f"nursery-{MACHINE}.sock"
    umask = os.umask(0o002)
    try:
        assert cli.started(PUPITRE_NURSERY=str(place))["home"] == str(place.with_suffix(".home"))
    finally:
        os.umask(umask)
    for folder in list(place.parents)[:3]:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_home_whose_path_is_too_long(cli: Cli) -> None:
    home = cli.folder / ("x" * 80)
    assert "107 bytes" in cli.refused(PUPITRE_NURSERY=f"{home}/.local/state/pupitre/nursery-{MACHINE}.sock")
