# SPDX-License-Identifier: BSD-3-Clause
"""A small client that runs a notebook and answers its `input()` questions, which nbclient does not do.

One kernel a notebook; cells run in order, each with a deadline. The outputs are returned as the client saw them, so a
test can say what a person would have seen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.manager import start_new_kernel
from nbformat import NotebookNode

DEADLINE = 60.0
"""Seconds for a kernel to start, and for one cell to end."""


@dataclass(frozen=True)
class Question:
    """One `input_request`: its prompt, and whether the answer must stay hidden."""

    prompt: str
    password: bool


@dataclass
class CellRun:
    """What one cell asked and showed. `outputs` are nbformat outputs in the order of arrival."""

    questions: list[Question] = field(default_factory=list)
    outputs: list[NotebookNode] = field(default_factory=list)
    reply: dict[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """All of stdout, joined: how a kernel cuts it into messages is its own business."""
        return "".join(output.text for output in self.outputs if output.output_type == "stream")


def run_answering(path: Path, kernel_name: str, answer: Callable[[Question], str]) -> dict[str, CellRun]:
    """Run the code cells of the notebook at `path`, asking `answer` for every question; cell id → run."""
    notebook = nbformat.read(path, as_version=4)
    manager, client = start_new_kernel(startup_timeout=DEADLINE, kernel_name=kernel_name, cwd=str(path.parent))
    try:
        cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
        return {cell.id: _run_cell(client, cell.source, answer) for cell in cells}
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def _run_cell(client: Any, source: str, answer: Callable[[Question], str]) -> CellRun:
    run = CellRun()

    def on_output(message: dict[str, Any]) -> None:
        if message["msg_type"] in ("stream", "display_data", "execute_result", "error"):
            run.outputs.append(nbformat.v4.output_from_msg(message))

    def on_question(message: dict[str, Any]) -> None:
        question = Question(message["content"]["prompt"], message["content"]["password"])
        run.questions.append(question)
        client.input(answer(question))

    reply = client.execute_interactive(
        source, allow_stdin=True, timeout=DEADLINE, output_hook=on_output, stdin_hook=on_question
    )
    run.reply = reply["content"]
    return run
