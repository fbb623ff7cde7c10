# SPDX-License-Identifier: BSD-3-Clause
"""The man pages: groff has nothing to complain of, and they name every option, trick and exit status there is."""

from __future__ import annotations

import argparse
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pupitre.cli
import pytest
from conftest import ROOT
from pupitre.nursery import cli, settings, status

PAGES = sorted((ROOT / "docs" / "man").glob("*.1"))


def page(name: str) -> str:
    return (ROOT / "docs" / "man" / f"{name}.1").read_text().replace("\\-", "-")


def subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    found: dict[str, argparse.ArgumentParser] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found |= action.choices
    return found


def options(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        yield from (option for option in action.option_strings if option not in ("-h", "--help"))


def names(text: str, word: str) -> bool:
    return re.search(rf"(?<![-\w]){re.escape(word)}(?![-\w])", text) is not None


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_groff_has_no_complaints(path: Path) -> None:
    done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z", path], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_command_has_its_place() -> None:
    text = page("pupitre")
    for name, parser in subcommands(pupitre.cli.parser()).items():
        assert f".B {name}\n" in text
        if name != "nursery":  # it has a page of its own
            assert [option for option in options(parser) if not names(text, option)] == []


def test_every_option_of_the_nursery_has_its_place() -> None:
    text = page("pupitre-nursery")
    nursery = subcommands(pupitre.cli.parser())["nursery"]
    found = set(options(nursery))
    for name, parser in subcommands(nursery).items():
        assert f".B {name}\n" in text
        found |= set(options(parser))
    assert len(found) > 10
    assert sorted(option for option in found if not names(text, option)) == []


def test_tricks_and_packages_have_their_place() -> None:
    text = page("pupitre-nursery")
    assert [name for name in (*settings.TRICKS, *settings.DEFAULT_IMPORTS) if not names(text, name)] == []


def test_every_exit_status_has_its_place() -> None:
    text = page("pupitre-nursery")
    listener = (ROOT / "kernel" / "nursery" / "listener" / "main.c").read_text()
    found = {int(number) for number in re.findall(r"EXIT_\w+ = (\d)", listener)}
    found |= {cli.EXIT_FAILED, cli.EXIT_USAGE, status.EXIT_READY, status.EXIT_NOT_READY, status.EXIT_NOBODY}
    assert len(found) > 3
    assert [number for number in found if f".B {number}\n" not in text] == []


def test_limits_are_those_of_the_listener() -> None:
    """The page, the file to copy, and C say the same numbers."""
    listener = (ROOT / "kernel" / "nursery" / "listener" / "main.c").read_text()
    file = (ROOT / "packaging" / "nursery.toml").read_text()
    for name in ("max_per_user", "burst"):
        number = re.search(rf'\[OPTION_{name.upper()}\] = l->system \? "(\d+)" : "0";', listener)[1]
        assert re.search(rf"^#{name.replace('_', '-')} = {number}\b", file, re.MULTILINE)
        option = page("pupitre-nursery").partition(f'.BI --{name.replace("_", "-")} " N"')[2].partition(".TP")[0]
        assert f"Usually {number} with" in option.replace("\n", " ")
    least = re.search(r"^#min-uid = (\d+)", file, re.MULTILINE)[1]
    assert f'[OPTION_MIN_UID] = "{least}";' in listener
