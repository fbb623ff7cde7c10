# SPDX-License-Identifier: BSD-3-Clause
"""The tools, started as their commands start them: in a process each, forked from one that has imported them."""

from __future__ import annotations

import multiprocessing
import os
import re
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pages
from pages import CASES, CELL_SECONDS, START_SECONDS, Case

DEADLINE = 90.0  # seconds for one run
_STARTED = multiprocessing.get_context("forkserver")
_STARTED.set_forkserver_preload(["nbclient.cli", "nbconvert.nbconvertapp", "papermill.cli"])
_ERROR = re.compile(r"^(?:[A-Za-z_]\w*\.)*([A-Z]\w*)(?::|$)", re.MULTILINE)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")

# What a client says whose kernel is gone: ipykernel's leave without a word, ours say so on the cell.
GONE = {"DeadKernelError", "KernelDied", "KernelStopped"}


@dataclass(frozen=True)
class Tool:
    """`main`: module and function of the command. Options as they are written for it; "" where it has none. `passes`:
    the cases that it takes for a success, where these are not those of nbclient.
    """

    main: tuple[str, str]
    fixed: tuple[str, ...]
    limit: str
    start_limit: str
    allow_errors: str
    output: bool = False
    passes: frozenset[str] = frozenset()

    def takes(self, case: Case) -> bool:
        return bool(self.allow_errors) or not case.allow_errors

    def fails(self, name: str) -> bool:
        """Whether the case of this name is a failure with ipykernel."""
        return name not in self.passes if self.passes else CASES[name].fails

    def arguments(self, case: Case, page: Path) -> list[str]:
        options = list(self.fixed)
        for asked, option in (
            (case.limited, self.limit),
            (case.start_limited, self.start_limit),
            (case.allow_errors, self.allow_errors),
        ):
            options += [option] if asked else []
        return [*options, str(page), *([str(page.with_name("out.ipynb"))] if self.output else [])]


TOOLS = {
    "nbclient": Tool(
        ("nbclient.cli", "NbClientApp.launch_instance"),
        (),
        f"--timeout={CELL_SECONDS}",
        f"--startup_timeout={START_SECONDS}",
        "--allow-errors",
    ),
    "nbconvert": Tool(
        ("nbconvert.nbconvertapp", "main"),
        ("--to=notebook", "--execute", "--output=out.ipynb"),
        f"--ExecutePreprocessor.timeout={CELL_SECONDS}",
        f"--ExecutePreprocessor.startup_timeout={START_SECONDS}",
        "--allow-errors",
    ),
    "papermill": Tool(
        ("papermill.cli", "papermill"),
        ("--no-progress-bar",),
        f"--execution-timeout={CELL_SECONDS}",
        f"--start-timeout={START_SECONDS}",
        "",
        output=True,
        # It forgives sys.exit() that means no failure, and no other error, whatever the tag.
        passes=frozenset({"good", "slow end", "sys.exit()"}),
    ),
}


@dataclass(frozen=True)
class Outcome:
    """What came of one run: exit status, the last exception named, the marks of the cells, and all that was said."""

    status: int | None
    error: str
    ran: str
    log: str


def _main(main: tuple[str, str], arguments: list[str], place: Path, environment: dict[str, str]) -> None:
    """In the child: become the command."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(place)
    log = os.open(place / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    command = import_module(main[0])
    for name in main[1].split("."):
        command = getattr(command, name)
    sys.argv = [main[0], *arguments]
    command(arguments)  # type: ignore[operator]


class Run:
    """One tool on one case with one kernel, begun by the constructor."""

    def __init__(self, tool: Tool, case: Case, kernel: str, place: Path) -> None:
        place.mkdir()
        self.place = place
        page = pages.write(case, kernel, place)
        arguments = (tool.main, tool.arguments(case, page), place, environment(place, case.startup))
        self.process = _STARTED.Process(target=_main, args=arguments)
        self.process.start()

    def outcome(self) -> Outcome:
        self.process.join(DEADLINE)
        status = self.process.exitcode
        if status is None:
            self.process.kill()
            self.process.join()
        log = _COLOUR.sub("", (self.place / "log").read_text("utf-8", "replace"))
        named = _ERROR.findall(log) if status != 0 else []
        return Outcome(status, named[-1] if named else "", pages.ran(self.place), log)


def environment(place: Path, startup: str = "") -> dict[str, str]:
    """An environment in which nothing of the user's counts; `startup`: what IPython runs before the first cell."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "MPLBACKEND"))}
    folder = place / "ipython/profile_default/startup"
    folder.mkdir(parents=True, exist_ok=True)
    if startup:
        (folder / "first.py").write_text(startup)
    return {
        **kept,
        "IPYTHONDIR": str(place / "ipython"),
        "JUPYTER_CONFIG_DIR": str(place / "config"),
        "JUPYTER_RUNTIME_DIR": str(place / "runtime"),
    }


def compare(ours: Outcome, theirs: Outcome, *, fails: bool, leaves: bool) -> None:
    """The same end: status, kind of error, and which cells ran. Papermill has a status of its own for a dead kernel."""
    said = f"\n-- ipykernel's:\n{theirs.log[-3000:]}\n-- ours:\n{ours.log[-3000:]}"
    assert theirs.status is not None and (theirs.status != 0) == fails, f"theirs: {theirs.status}{said}"
    gone = theirs.status != 0 and {ours.error, theirs.error} <= GONE
    assert ours.status == theirs.status or (ours.status and gone), f"{ours.status} instead of {theirs.status}{said}"
    assert ours.error == theirs.error or gone, f"{ours.error}, {theirs.error}{said}"
    if leaves:
        assert ours.ran == "first " and theirs.ran.startswith(ours.ran), f"{ours.ran}, {theirs.ran}{said}"
    else:
        assert ours.ran == theirs.ran, f"{ours.ran}, {theirs.ran}{said}"
