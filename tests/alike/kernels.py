# SPDX-License-Identifier: BSD-3-Clause
"""One kernel that runs cells for these tests, started as Jupyter starts it."""

import os
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from jupyter_client.manager import KernelManager

DEADLINE = 60.0  # seconds for a start or a cell

Message = dict[str, Any]


@dataclass
class Answer:
    """What a cell brought: the messages on iopub in order, and the reply's content."""

    messages: list[Message] = field(default_factory=list)
    reply: Message = field(default_factory=dict)
    questions: list[Message] = field(default_factory=list)  # what input() asked

    def all(self, kind: str) -> list[Message]:
        return [message["content"] for message in self.messages if message["msg_type"] == kind]

    def text(self, name: str = "stdout") -> str:
        return "".join(content["text"] for content in self.all("stream") if content["name"] == name)

    def shown(self) -> list[Any]:
        """What a client shows: the text of each stream, the other contents in order, how the cell ended.

        Of an error its name and text: tracebacks have frames of the kernel's own.
        """
        texts = [self.text("stdout"), self.text("stderr")]
        kinds = ("display_data", "update_display_data", "execute_result", "clear_output", "error")
        rest = [
            (one["msg_type"], {**one["content"], "traceback": 0}) for one in self.messages if one["msg_type"] in kinds
        ]
        return [*texts, *rest, self.reply["status"], self.reply.get("payload")]

    def comms(self) -> list[Any]:
        """The messages of comms: type, data and the number of buffers."""
        return [
            (one["msg_type"], one["content"]["data"], len(one["buffers"]))
            for one in self.messages
            if one["msg_type"].startswith("comm_")
        ]

    @property
    def result(self) -> str:
        """text/plain of the cell's value, or the error that it ended with."""
        values = [content["data"]["text/plain"] for content in self.all("execute_result")]
        errors = ["{ename}: {evalue}".format(**content) for content in self.all("error")]
        return "\n".join(values + errors)


class Kernel:
    """A running kernel. `name`: its kernelspec."""

    def __init__(self, name: str, **environment: str) -> None:
        self.manager = KernelManager(kernel_name=name)
        self.manager.start_kernel(env={**os.environ, **environment})
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=DEADLINE)

    def run(self, code: str, answers: list[str] | None = None) -> Answer:
        """Run a cell. `answers`: what the user types when asked; nobody may be asked if there is none."""
        answer = Answer()
        typed = list(answers or [])

        def ask(message: Message) -> None:
            answer.questions.append(message["content"])
            self.client.input(typed.pop(0) if typed else "")

        reply = self.client.execute_interactive(
            code,
            allow_stdin=answers is not None,
            timeout=DEADLINE,
            output_hook=answer.messages.append,
            stdin_hook=ask,
        )
        answer.reply = reply["content"]
        return answer

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)

    def __enter__(self) -> "Kernel":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


@dataclass
class Pair:
    """ipykernel's kernel and ours."""

    theirs: Kernel
    ours: Kernel

    def run(self, code: str) -> tuple[Answer, Answer]:
        """What a cell brings in ipykernel, and what in Pupitre."""
        return self.theirs.run(code), self.ours.run(code)

    def same(self, code: str) -> Answer:
        """Run a cell in both and insist that they show the same. Returns what they show."""
        theirs, ours = self.run(code)
        assert ours.shown() == theirs.shown()
        return ours
