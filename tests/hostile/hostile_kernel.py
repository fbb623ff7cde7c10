# SPDX-License-Identifier: BSD-3-Clause
"""One fresh kernel for one hostile cell: started, watched and swept away with everything it left behind.

Which kernel: $PUPITRE_KERNEL_BIN, else the kernelspec $TEST_KERNEL (default pupitre). The verdict on a cell is one of
  usable    exactly one reply and one idle in time, and the next cell, `1+1`, answers 2
  reported  the cell (or the next) shows an `error` that says what happened, is answered, and the process has ended
  answered  as usable, but the next cell gets an error that names its cause: right only where a cell replaced parts of
            IPython itself, which then cannot run
  ended     the cell asked for the end: it is answered and the process exits with status 0
and anything else raises Verdict with the messages that came.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zmq
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.connect import write_connection_file
from jupyter_client.kernelspec import KernelSpecManager

START_SECONDS = 30.0
END_SECONDS = 5.0  # from the error that says so to the end of the process
SLICE_MS = 100
NEXT_CELL = "1+1"
OUR_OWN_FAILURE = "KernelError"  # the name of an error that blames the kernel's own code


class Verdict(AssertionError):
    """The kernel is neither usable nor did it report; the text says what came instead."""


def kernel_argv(connection_file: str) -> list[str]:
    program = os.environ.get("PUPITRE_KERNEL_BIN")
    if program:
        return [program, "-f", connection_file]
    spec = KernelSpecManager().get_kernel_spec(os.environ.get("TEST_KERNEL", "pupitre"))
    argv = [word.format(connection_file=connection_file, resource_dir=spec.resource_dir) for word in spec.argv]
    beside = Path(spec.resource_dir).parents[3] / "bin" / "python"
    return [str(beside), *argv[1:]] if re.fullmatch(r"python(3(\.\d+)?)?", argv[0]) else argv


@dataclass
class Answer:
    """What came for one request until its idle, the kernel's end, or the deadline."""

    replies: list[dict[str, Any]] = field(default_factory=list)
    idles: int = 0
    errors: list[dict[str, Any]] = field(default_factory=list)
    types: list[str] = field(default_factory=list)
    text: str = ""

    @property
    def complete(self) -> bool:
        return bool(self.replies) and self.idles > 0

    def take(self, message: dict[str, Any]) -> None:
        kind, content = message["msg_type"], message["content"]
        self.types.append(kind)
        if kind.endswith("_reply"):
            self.replies.append(content)
        elif kind == "error":
            self.errors.append(content)
        elif kind == "stream":
            self.text = (self.text + content["text"])[-2000:]
        elif kind == "status" and content["execution_state"] == "idle":
            self.idles += 1

    def said(self) -> str:
        """Everything the errors say, without colours."""
        words = [" ".join([error["ename"], error["evalue"], *error["traceback"]]) for error in self.errors]
        return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(words))

    def __str__(self) -> str:
        seen = ", ".join(self.types[:20]) + (f", … {len(self.types)} messages" if len(self.types) > 20 else "")
        status = [reply.get("status") for reply in self.replies]
        return f"[{seen}] replies={status} idles={self.idles} errors={self.said()[-600:]!r} text={self.text[-300:]!r}"


class HostileKernel:
    """A running kernel in a session, HOME and working directory of its own."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.mark = uuid.uuid4().hex
        self.folder = folder
        home = folder / "home"
        self.work = folder / "work"
        for place in (home, self.work, folder / "runtime"):
            place.mkdir(mode=0o700, exist_ok=True)
        self.file = str(folder / "runtime" / f"kernel-{self.mark}.json")
        write_connection_file(self.file, key=uuid.uuid4().hex.encode())
        dropped = ("IPYTHONDIR", "PYTHONPATH", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "PYTEST_CURRENT_TEST")
        inherited = {name: value for name, value in os.environ.items() if name not in dropped}
        own = {"HOME": str(home), "HOSTILE_MARK": self.mark, "JPY_PARENT_PID": str(os.getpid())}
        self._output = (folder / "terminal").open("w+b")
        self.process = subprocess.Popen(
            kernel_argv(self.file),
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=self.work,
            env={name: value for name, value in (inherited | own | environment).items() if value != UNSET},
        )
        self.client = BlockingKernelClient(connection_file=self.file)
        self.client.load_connection_file()
        # As browsers do: lone surrogates cross as escapes.
        self.client.session.pack = lambda content: json.dumps(content, default=str).encode()
        self.client.start_channels(hb=False, stdin=False)
        self._poller = zmq.Poller()
        for channel in (self.client.shell_channel, self.client.iopub_channel):
            self._poller.register(channel.socket, zmq.POLLIN)

    def close(self) -> None:
        self.client.stop_channels()
        self.client.context.destroy(linger=0)
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(timeout=10)
        self.sweep()
        self._output.close()

    def sweep(self) -> None:
        """End whatever carries this kernel's mark in its environment, until nothing does."""
        deadline = time.monotonic() + 10
        while (left := list(self.leftovers())) and time.monotonic() < deadline:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def leftovers(self) -> Iterator[int]:
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if f"HOSTILE_MARK={self.mark}".encode() in (entry / "environ").read_bytes():
                    yield int(entry.name)

    def wait_until_ready(self) -> None:
        """Until it answers and its iopub channel reaches us."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise Verdict(f"does not start: exit status {self.process.returncode}\n{self.terminal()}")
            answer = self.follow(self.client.kernel_info(), 1.0)
            if answer.complete:
                return
        raise Verdict(f"not ready in {START_SECONDS:g} s\n{self.terminal()}")

    def terminal(self) -> str:
        """The end of what the kernel wrote to its own standard output and error."""
        return (self.folder / "terminal").read_text(errors="replace")[-1500:]

    def execute(self, code: str) -> str:
        return str(
            self.client.execute(code, allow_stdin=False, stop_on_error=False, user_expressions={"value": NEXT_CELL})
        )

    def follow(self, message_id: str, seconds: float, stop: tuple[str, ...] = ()) -> Answer:
        """Read until the request has its reply and idle, or the process has ended and nothing more comes."""
        answer = Answer()
        deadline = time.monotonic() + seconds
        while not answer.complete and time.monotonic() < deadline:
            ended = self.process.poll() is not None
            if not self._read(message_id, answer) and ended:
                break
            if stop and answer.types and answer.types[-1] in stop:
                break
        return answer

    def late(self, message_id: str, seconds: float) -> str:
        """Whole lines that come for a request after its idle; empty when none came within this time."""
        answer = Answer()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not self._read(message_id, answer) and answer.text.endswith("\n"):
                break
        return answer.text

    def shut_down(self) -> None:
        """An orderly end."""
        self.client.shutdown()
        assert self.ended()

    def _read(self, message_id: str, answer: Answer) -> bool:
        """Take one message from each of shell and iopub, this request's kept. False when none came within a slice."""
        ready = dict(self._poller.poll(SLICE_MS))
        for channel in (self.client.shell_channel, self.client.iopub_channel):
            if channel.socket in ready:
                message = channel.get_msg(timeout=1)
                if message["parent_header"].get("msg_id") == message_id:
                    answer.take(message)
        return bool(ready)

    def interrupt(self) -> None:
        """Stop, as jupyter_client does it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGINT)

    def ended(self) -> bool:
        try:
            self.process.wait(timeout=END_SECONDS)
        except subprocess.TimeoutExpired:
            return False
        return True

    def __enter__(self) -> HostileKernel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


UNSET = "\0unset"  # an environment value that means: leave the variable out


def judge(
    kernel: HostileKernel, code: str, deadline: float = 10.0, interrupt: float = 0, interrupt_next: float = 0
) -> tuple[str, str]:
    """Run a hostile cell and the next one. ("usable", "") or ("reported", what the error said); Verdict otherwise."""
    first_id = kernel.execute(code)
    first = _answer(kernel, first_id, deadline, interrupt)
    if first.errors and kernel.process.poll() is not None:
        return "reported", _reported(kernel, first)
    if not first.complete:
        raise Verdict(f"no reply and idle in {deadline:g} s ({_state(kernel)}): {first}\n{kernel.terminal()}")
    next_id = kernel.execute(NEXT_CELL)
    following = _answer(kernel, next_id, deadline, interrupt_next)
    if following.complete and _is_two(following.replies[0]):
        if len(first.replies) != 1 or first.idles != 1 or len(following.replies) != 1:
            raise Verdict(f"more than one reply or idle: {first} then {following}")
        return "usable", ""
    for answer in (first, following):
        if answer.errors and _died(answer) and kernel.ended():
            return "reported", _reported(kernel, answer)
    refused = not following.replies or following.replies[0].get("ename") == "KernelStopped"
    if refused and first.replies[0]["status"] == "ok" and kernel.ended() and kernel.process.returncode == 0:
        return "ended", ""
    if following.complete and _names_cause(following.replies[0]):
        return "answered", following.said() or str(following.replies[0])
    raise Verdict(f"the cell: {first}\nthe next: {following}\n({_state(kernel)}) {kernel.terminal()}")


def _names_cause(reply: dict[str, Any]) -> bool:
    """An error reply that says what is wrong; blaming the kernel itself is right only for want of memory."""
    return reply["status"] == "error" and (str(reply["ename"]) != OUR_OWN_FAILURE or "MemoryError" in reply["evalue"])


def _died(answer: Answer) -> bool:
    """Whether the error is the kernel's report of its own end, after which waiting for the end makes sense."""
    return str(answer.errors[-1]["ename"]) == "KernelDied"


def _answer(kernel: HostileKernel, message_id: str, deadline: float, interrupt: float) -> Answer:
    """Wait for the answer; with `interrupt`, press Stop once after that many seconds and then every second."""
    if not interrupt:
        return kernel.follow(message_id, deadline)
    whole = Answer()
    end = time.monotonic() + deadline + interrupt
    pause = interrupt
    while time.monotonic() < end and not whole.complete and not (kernel.process.poll() is not None and whole.errors):
        part = kernel.follow(message_id, pause)
        whole = _joined(whole, part)
        if not whole.complete:
            kernel.interrupt()
        pause = 1.0
    return whole


def _joined(a: Answer, b: Answer) -> Answer:
    text = (a.text + b.text)[-2000:]
    return Answer(a.replies + b.replies, a.idles + b.idles, a.errors + b.errors, a.types + b.types, text)


def _is_two(reply: dict[str, Any]) -> bool:
    value = reply.get("user_expressions", {}).get("value", {})
    return str(value.get("data", {}).get("text/plain")) == "2"


def _reported(kernel: HostileKernel, answer: Answer) -> str:
    """The words of a report, once the rest of what a report must be is there."""
    if not kernel.ended():
        raise Verdict(f"reported, but the process lives on: {answer}")
    if len(answer.replies) != 1 or answer.idles != 1 or answer.replies[0]["status"] != "error":
        raise Verdict(f"reported without exactly one error reply and idle: {answer}")
    if not answer.errors[-1]["evalue"]:
        raise Verdict(f"the error names no cause: {answer}")
    return answer.said()


def _state(kernel: HostileKernel) -> str:
    status = kernel.process.poll()
    return "the process lives" if status is None else f"exit status {status}"
