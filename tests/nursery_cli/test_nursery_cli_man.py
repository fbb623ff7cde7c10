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
    found = {
        cli.EXIT_FAILED,
        cli.EXIT_USAGE,
        cli.EXIT_SHUT,
        status.EXIT_READY,
        status.EXIT_NOT_READY,
        status.EXIT_NOBODY,
    }
    assert len(found) > 3
    assert [number for number in found if f".B {number}\n" not in text] == []


def test_limits_are_those_of_settings() -> None:
    """The page, the file to copy, and the program say the same numbers."""
    file = (ROOT / "packaging" / "nursery.toml").read_text()
    for name in ("max-per-user", "burst"):
        own, number = settings.LIMITS[name]
        assert own == 0 and re.search(rf"^#{name} = {number}\b", file, re.MULTILINE)
        option = page("pupitre-nursery").partition(f'.BI --{name} " N"')[2].partition(".TP")[0]
        assert f"Usually {number} with" in option.replace("\n", " ")
    for name in ("min-uid", "max-uid"):
        assert f"\n#{name} = {settings.LIMITS[name][True]} " in file
