# SPDX-License-Identifier: BSD-3-Clause
"""Packages that pip changes while a nursery runs: one new template, once the folder is quiet, of one version."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from nursery import AS_ROOT, DEADLINE, Begin, Start, python_of
from pupitre.nursery.messages import Op, TemplateState

PACKAGE = "pupilpkg"
FILES = 2000  # so that pip takes longer than a kernel's start
SYSTEM = [pytest.param(True, id="system"), pytest.param(False, id="user")] if AS_ROOT else [False]


def wheel(folder: Path, version: str, name: str = PACKAGE, files: int = FILES) -> Path:
    """A package of many modules, each of which knows its version."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    metadata = f"{name}-{version}.dist-info"
    content = {f"{name}/__init__.py": f"v = {version!r}\n"}
    content |= {f"{name}/m{number}.py": f"v = {version!r}\n" for number in range(files)}
    content[f"{metadata}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    content[f"{metadata}/WHEEL"] = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    content[f"{metadata}/RECORD"] = "".join(f"{file},,\n" for file in [*content, f"{metadata}/RECORD"])
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in content.items():
            archive.writestr(file, text)
    return path


def pip(environment: Path, *words: str | Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "pip", "--python", python_of(environment), "--disable-pip-version-check", "-q"]
    return subprocess.Popen([*command, *map(str, words)])


def install(environment: Path, what: Path) -> subprocess.Popen[bytes]:
    return pip(environment, "install", "--no-index", "--no-deps", "--upgrade", what)


@pytest.fixture
def installed(environment: Path, directory: Path) -> Path:
    """An environment with the first version."""
    with install(environment, wheel(directory, "1.0")) as process:
        assert process.wait(DEADLINE * 3) == 0
    return environment


@pytest.mark.timeout(180)
@pytest.mark.parametrize("system", SYSTEM)
def test_an_upgrade_warms_once(begin: Begin, start: Start, installed: Path, directory: Path, system: bool) -> None:
    """Kernels that start meanwhile are forked or cold, and all work."""
    options = ("--python", python_of(installed), "--import", PACKAGE, "--without", "rehearse")
    nursery = begin(*options, system=system)
    first = nursery.template().pid
    python = {"env": {"PUPITRE_PYTHON": python_of(installed)}}
    assert start(nursery, **python).client().evaluate(f"__import__({PACKAGE!r}).v") == "1.0"
    with install(installed, wheel(directory, "2.0")) as process:
        while process.poll() is None:
            assert start(nursery, cold=True, **python).client().evaluate("1 + 1") == 2
        assert process.wait(DEADLINE) == 0
    assert start(nursery, cold=True, **python).client().evaluate("1 + 1") == 2
    nursery.wait_template(other_than=first)
    client = start(nursery, **python).client()
    client.ok(f"import {PACKAGE} as package, {PACKAGE}.m0 as first, {PACKAGE}.m{FILES - 1} as last")
    assert client.evaluate("[package.v, first.v, last.v]") == ["2.0"] * 3
    assert nursery.logged().count("event=template_ready") == 2
    assert nursery.logged().count("event=template_build") == 2
    assert f"packages changed: {PACKAGE} 1.0 -> 2.0\n" in nursery.logged()
    assert nursery.template().pid != first


@pytest.mark.timeout(120)
@pytest.mark.long
def test_an_upgrade_while_a_template_is_built(begin: Begin, installed: Path, directory: Path) -> None:
    """It would be of two versions at once, and never forks."""
    gate = directory / "gate"
    os.mkfifo(gate)
    (installed / "slow.py").write_text(f"import os\nif os.getpid() == os.getpgid(0): open({str(gate)!r}).read()\n")
    options = ("--python", python_of(installed), "--import", f"slow,{PACKAGE}", "--without", "rehearse")
    nursery = begin(*options, ready=False)
    with gate.open("w"):  # the template reads it, and waits
        with install(installed, wheel(directory, "2.0", files=10)) as process:
            assert process.wait(DEADLINE * 3) == 0
    nursery.wait_logged("packages changed while they were imported")
    with gate.open("w"):
        pass
    nursery.wait_ready()
    assert f"packages changed: {PACKAGE} 1.0 -> 2.0\n" in nursery.logged()
    assert nursery.logged().count("event=template_ready") == 1


@pytest.mark.timeout(120)
@pytest.mark.long
def test_what_changed_is_named(begin: Begin, environment: Path, directory: Path) -> None:
    """Added, removed, and at most a few."""
    for name in ("stays", "goes"):
        with install(environment, wheel(directory, "1.0", name, 1)) as process:
            assert process.wait(DEADLINE * 3) == 0
    nursery = begin("--python", python_of(environment), "--import", "json", "--without", "rehearse")
    first = nursery.template().pid
    with pip(environment, "uninstall", "-y", "goes") as process:
        assert process.wait(DEADLINE * 3) == 0
    with install(environment, wheel(directory, "3.1", "comes", 1)) as process:
        assert process.wait(DEADLINE * 3) == 0
    nursery.ask(Op.RELOAD)
    found = nursery.wait_template(other_than=first)
    assert any(template.state == TemplateState.READY for template in found.templates)
    assert "packages changed: comes 3.1 added, goes 1.0 removed\n" in nursery.logged()
