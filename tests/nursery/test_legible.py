# SPDX-License-Identifier: BSD-3-Clause
"""What the log and `status` say of kernels that died and of such that started cold, with everything real."""

from __future__ import annotations

import json
import re
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from nursery import DEADLINE, QUICK, Begin, Nursery, Start, born_in_nursery, started_cold
from pupitre.nursery import messages


def status_of(nursery: Nursery) -> dict[str, Any]:
    command = [sys.executable, "-m", "pupitre.cli", "nursery", "status", "--json", "--socket", str(nursery.socket)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=True)
    facts: dict[str, Any] = json.loads(done.stdout)
    return facts


def lines_of(text: str, program: str, event: str) -> list[dict[str, str]]:
    """The lines of a program about a kind of event, taken apart."""
    found = re.findall(rf"^{program}: warning: event={event} (.*)$", text, re.MULTILINE)
    return [{name: value.strip('"') for name, value in re.findall(r'(\w+)=("[^"]*"|\S+)', line)} for line in found]


@pytest.mark.parametrize("cold", [False, True])
@pytest.mark.parametrize("system", [False, True])
def test_legible_death(begin: Begin, start: Start, system: bool, cold: bool) -> None:
    """One line in the log of the kernel and one in that of the nursery, however the kernel was started."""
    nursery = begin(*QUICK, system=system)
    env = {"PYTHONHASHSEED": "1"} if cold else {}
    kernel = start(nursery, cold=cold, env=env)
    worker = started_cold(kernel) if cold else born_in_nursery(kernel)
    client = kernel.client()
    client.ok("secret = 'of a student'")
    result = client.run("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)  # code")
    assert result.error["ename"] == "KernelDied"
    kernel.wait_exit()
    (told,) = wait_lines(nursery, "died")
    (said,) = lines_of(kernel.output(), "pupitre-kernel", "died")
    assert told.keys() | {"status"} == said.keys()
    for line in (told, said):
        assert (line["pid"], line["cell"]) == (str(worker.pid), "2")
        assert "segmentation fault" in line["reason"].lower()
        assert float(line["peak_mb"]) > 10 and float(line["cpu_s"]) >= 0
    assert (told["user"], told["uid"]) == (said["user"], said["uid"])
    assert "student" not in str(told) + str(said) and "secret" not in str(told) + str(said)
    facts = status_of(nursery)
    (user,) = facts["users"]
    assert (facts["deaths"], user["deaths"], user["user"]) == (1, 1, told["user"])
    assert user["forks"] == (0 if cold else 1)
    reasons = [row["reason"] for row in user["cold"]]
    assert reasons == (["ENVIRONMENT"] if cold else [])
    lines = lines_of(log_of(nursery), "pupitre-nursery", "cold")
    assert [line["reason"] for line in lines] == [messages.REASONS[name] for name in reasons]


def test_legible_end_in_order(begin: Begin, start: Start) -> None:
    """A kernel that is asked to end, or whose code ends it, did not die."""
    nursery = begin(*QUICK)
    for code in ("exit()", "pass"):
        kernel = start(nursery)
        client = kernel.client()
        client.run(code)
        kernel.close()
    assert status_of(nursery)["deaths"] == 0
    assert not lines_of(log_of(nursery), "pupitre-nursery", "died")


def test_legible_settings_that_do_not_fit(begin: Begin, start: Start, directory: Path) -> None:
    """What only the kernel itself finds out, after the fork."""

    def prepare(home: Path) -> dict[str, Any]:
        (home / "path").mkdir()
        (home / "path/csv.py").write_text("mine = True")
        return {"env": {"PYTHONPATH": str(home / "path")}}

    nursery = begin("--import", "csv", "--without", "rehearse")
    kernel = start(nursery, cold=True, prepare=prepare)
    started_cold(kernel)
    facts = status_of(nursery)
    assert [(row["reason"], row["count"]) for row in facts["cold"]] == [("UNLIKE", 1)]
    (line,) = wait_lines(nursery, "cold")
    assert line["reason"] == messages.REASONS["UNLIKE"]


def wait_lines(nursery: Nursery, event: str) -> list[dict[str, str]]:
    """Of the nursery, once there are any: a process of its own writes them."""
    end = time.monotonic() + DEADLINE
    while not (lines := lines_of(log_of(nursery), "pupitre-nursery", event)):
        assert time.monotonic() < end, nursery.report(f"said nothing of {event}")
        select.select([], [], [], 0.01)
    return lines


def log_of(nursery: Nursery) -> str:
    nursery.log.seek(0)
    return nursery.log.read().decode()
