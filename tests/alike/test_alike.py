# SPDX-License-Identifier: BSD-3-Clause
"""Each attribute of ipykernel's objects is there and compares, or nobody uses it."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from evidence import modules
from kernels import Kernel
from walk import Facts, cell, differences, read, stable, takes

# $PUPITRE_EVIDENCE: newer evidence, by scripts/test evidence.
EVIDENCE: dict[str, Any] = json.loads(
    Path(os.environ.get("PUPITRE_EVIDENCE", Path(__file__).parent / "evidence.json")).read_text()
)


def users(name: str) -> Any:
    """Who uses OBJECT.NAME. KeyError if nobody has looked."""
    owner, _, attribute = name.rpartition(".")
    row = EVIDENCE["objects"][owner]
    return [] if not attribute or attribute in row["unused"].split() else row["used"][attribute]


def walk(name: str, like: Facts | None = None) -> Facts:
    """The facts of a kernel, of what is in `like`."""
    names = {owner: list(facts) for owner, facts in (like or {}).items()}
    with Kernel(name) as kernel:
        answer = kernel.run(cell(modules(), names))
        assert answer.reply["status"] == "ok", answer.result
        return read(answer.text())


@pytest.fixture(scope="module")
def facts() -> Iterator[tuple[Facts, Facts]]:
    """Ours and theirs."""
    theirs = stable(walk("python3"), walk("python3"))
    yield walk("pupitre", theirs), theirs


def test_every_attribute_compares_or_is_used_by_nobody(facts: tuple[Facts, Facts]) -> None:
    found = differences(*facts)
    used = {f"{name} {what}": users(name) for name, what in found.items() if users(name)}
    # Who uses these needs first what ipykernel itself has no more: kernel.schedule_dispatch went with its version 7.
    gone = {name for name in used if name.split()[0] in ("kernel.dispatch_shell", "shell_stream.on_recv")}
    assert "schedule_dispatch" not in facts[1]["kernel"] and all(used.pop(name) == ["pywwt"] for name in gone)
    assert not used


def test_the_evidence_is_large_enough() -> None:
    assert len(EVIDENCE["packages"]) >= 150


def test_the_walk_finds_what_differs() -> None:
    theirs: Facts = {"kernel": {"f": ["call", [["a", 1, False], ["b", 3, True]], False], "x": ["value", "int", "1"]}}
    same: Facts = {"kernel": {"f": ["call", [["a", 1, False], ["b", 1, True]], False], "x": ["value", "int", "1"]}}
    assert differences(same, theirs) == {}
    assert set(differences({"kernel": {}}, theirs)) == {"kernel.f", "kernel.x"}
    assert set(differences({"kernel": {"f": theirs["kernel"]["x"], "x": ["value", "int", "2"]}}, theirs)) == {
        "kernel.f",
        "kernel.x",
    }


@pytest.mark.parametrize(
    ("ours", "theirs", "fits"),
    [
        ("a, b", "a, b", True),
        ("x, b", "a, b", False),
        ("a", "a, b=1", False),
        ("a, *args, **kwargs", "a, b=1, *, c=2", True),
        ("a, b=1, c=2", "a, b=1", True),
        ("a, b=1, c=2", "b, a=1", False),
        ("a, b, c", "a, b=1", False),
        ("a, *, c", "a", False),
        ("a", "a, **kwargs", False),
        ("a", "*args, **kwargs", True),
    ],
)
def test_which_signatures_fit(ours: str, theirs: str, fits: bool) -> None:
    from inspect import signature

    def parameters(text: str) -> list[Any]:
        function = eval(f"lambda {text}: None")
        return [
            [one.name, int(one.kind), one.default is not one.empty] for one in signature(function).parameters.values()
        ]

    assert takes(parameters(ours), parameters(theirs)) is fits
