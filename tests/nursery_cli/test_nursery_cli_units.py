# SPDX-License-Identifier: BSD-3-Clause
"""The systemd units: systemd understands them, their exposure is what they say it is, their commands exist."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pupitre.cli
import pytest
from conftest import ROOT, Done

UNITS = sorted((ROOT / "packaging" / "systemd").glob("*.service"))
PREFIX = "/opt/pupitre"
# In tenths, as Debian 12 counts. The user's unit has no privileges to lose; see what it says of itself.
EXPOSURE = {"pupitre-nursery.service": 76, "pupitre-lab@.service": 51}
EXPOSURE_MARGIN = 2  # between versions of systemd
# Each would give the nursery a namespace, a seccomp filter, no_new_privs or a user that its callers do not have.
NOT_FOR_A_NURSERY_OF_OTHERS = re.compile(
    r"(Private|Protect|Restrict|SystemCall|ReadOnly|ReadWrite|Inaccessible|Temporary|Bind|Root|NoNewPriv|MemoryDeny"
    r"|LockPers|User|Group|DynamicUser|MountFlags|ProcSubset|NetworkNamespace|IPCNamespace)"
)


def analyze(*arguments: str | Path, **environment: str) -> Done:
    return subprocess.run(
        ["systemd-analyze", "--no-pager", *arguments],
        env={"PATH": "/usr/bin:/bin", "SYSTEMD_COLORS": "0", **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def settings_of(unit: Path) -> list[tuple[str, str]]:
    lines = [line for line in unit.read_text().splitlines() if line and line[0] not in "#;["]
    return [(name, value) for name, _, value in (line.partition("=") for line in lines)]


def test_there_are_units() -> None:
    assert {unit.name for unit in UNITS} == {*EXPOSURE, "pupitre-nursery-user.service"}


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_understands_it(unit: Path, tmp_path: Path) -> None:
    """With an installation where the unit expects one: verify looks for the programs."""
    (tmp_path / "bin").mkdir()
    for name in ("pupitre", "jupyter"):
        (tmp_path / "bin" / name).symlink_to("/bin/true")
    copy = tmp_path / unit.name
    copy.write_text(unit.read_text().replace(PREFIX, str(tmp_path)))
    whose = ["--user"] if "user" in unit.name else []
    done = analyze(*whose, "verify", "--man=no", copy, XDG_RUNTIME_DIR=str(tmp_path))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    copy.write_text(copy.read_text().replace("[Service]", "[Service]\nNoSuchDirective=1"))
    assert "NoSuchDirective" in analyze(*whose, "verify", "--man=no", copy, XDG_RUNTIME_DIR=str(tmp_path)).stderr


@pytest.mark.parametrize("name", EXPOSURE)
def test_exposure(name: str) -> None:
    unit = ROOT / "packaging" / "systemd" / name
    done = analyze("security", "--offline=true", f"--threshold={EXPOSURE[name] + EXPOSURE_MARGIN}", unit)
    assert done.returncode == 0, done.stdout[-200:] + done.stderr
    told = re.search(r"gives ([0-9.]+)\s", unit.read_text().replace("\n# ", " "))
    assert told is not None
    assert float(told[1]) * 10 == EXPOSURE[name]


def test_what_callers_do_not_have_is_not_in_the_nursery_of_the_machine() -> None:
    for name in ("pupitre-nursery.service", "pupitre-nursery-user.service"):
        names = [name for name, _ in settings_of(ROOT / "packaging" / "systemd" / name)]
        assert [name for name in names if NOT_FOR_A_NURSERY_OF_OTHERS.match(name)] == []
    both = settings_of(ROOT / "packaging" / "systemd" / "pupitre-nursery.service")
    assert {("KillMode", "process"), ("IPAddressDeny", "any"), ("DevicePolicy", "closed")} <= set(both)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_commands_are_ours(unit: Path) -> None:
    """Every `pupitre nursery` in a unit is one that the command understands."""
    commands = re.findall(rf"{PREFIX}/bin/pupitre ([^&'\n]*)", unit.read_text())
    assert commands
    for command in commands:
        options = pupitre.cli.parser().parse_args(shlex.split(command.replace("%t", "/run/user/1")))
        assert options.command == "nursery"
