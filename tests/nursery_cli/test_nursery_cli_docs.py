# SPDX-License-Identifier: BSD-3-Clause
"""docs/admin.md and docs/security.md: what they tell people to type, copy or look for is there."""

from __future__ import annotations

import re
import shlex
import tomllib

import pupitre.cli
import pytest
from conftest import ROOT, Cli
from pupitre.nursery import messages

ADMIN = (ROOT / "docs" / "admin.md").read_text()
BOTH = ADMIN + (ROOT / "docs" / "security.md").read_text()
# What people do not meet: it is not a refusal, a bug of ours, or nothing to do anything about.
UNSAID = ("OK", "BAD_REQUEST", "DRAINING", "TEMPLATE_DIED", "NO_NURSERY", "GROUPS")


def test_every_reason_for_a_cold_start_is_explained() -> None:
    table = ADMIN.partition("| it says | because |")[2].partition("\n\n")[0]
    said = [line.split("|")[1].strip() for line in table.splitlines()[2:]]
    assert sorted(said) == sorted(text for name, text in messages.REASONS.items() if name not in UNSAID)


def commands() -> list[str]:
    """Every `pupitre ...` in a block or in backquotes, without what a shell makes of it."""
    blocks = re.findall(r"^    (?:/opt/pupitre/bin/)?(pupitre .*?)(?:\s+[#&].*)?$", BOTH, re.MULTILINE)
    return [*blocks, *re.findall(r"`(?:/opt/pupitre/bin/)?(pupitre [^`]*)`", BOTH)]


@pytest.mark.parametrize("command", sorted(set(commands())))
def test_commands_are_understood(command: str) -> None:
    words = shlex.split(command.rstrip(" &"))[1:]
    assert pupitre.cli.parser().parse_args(words).command == words[0]


def test_there_are_commands() -> None:
    assert len(commands()) > 10


def test_files_to_copy_are_shipped() -> None:
    named = re.findall(r"share/pupitre/(\S+?)[`\s]", ADMIN)
    assert len(named) > 2
    for name in named:
        assert (ROOT / "packaging" / name).is_file(), name
    install = (ROOT / "cmake" / "Install.cmake").read_text()
    assert "packaging/systemd/*.service" in install
    assert "packaging/nursery.toml" in install


def test_the_example_file_is_good(cli: Cli) -> None:
    lines = re.findall(r"^    ((?:import|rehearsal) = .*)$", ADMIN, re.MULTILINE)
    assert set(tomllib.loads("\n".join(lines))) == {"import", "rehearsal"}
    cli.config('{"cells": []}', "rehearsal.ipynb")
    text = "\n".join(lines).replace("/etc/pupitre", str(cli.folder))
    assert cli.started("--config", cli.config(text.replace('"numpy", "pandas", "matplotlib.pyplot"', '"json"')))


@pytest.mark.parametrize("name", ["admin", "security"])
def test_links_lead_somewhere(name: str) -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", (ROOT / "docs" / f"{name}.md").read_text())
    assert targets
    for target in targets:
        assert (ROOT / "docs" / target).exists(), target


def test_tests_that_hold_a_claim_are_there() -> None:
    named = re.findall(r"`(tests/\S+?)::(\w+)`", (ROOT / "docs" / "security.md").read_text())
    assert len(named) > 30
    for file, name in named:
        assert re.search(rf"\b{name}\(", (ROOT / file).read_text()), f"{file}::{name}"
