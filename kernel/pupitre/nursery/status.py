# SPDX-License-Identifier: BSD-3-Clause
"""Asking a running nursery: what it has, to drain it, to warm a new Python.

The nursery asked is the one that a kernel would ask: --socket, else $PUPITRE_NURSERY, the user's, the machine's.
"""

from __future__ import annotations

import argparse
import json
import os
import pwd
import socket
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from pupitre.nursery import glance, messages, places
from pupitre.nursery.messages import Answer, Op, Row, Status, TemplateState

EXIT_READY = 0
EXIT_NOT_READY = 1
EXIT_NOBODY = 3
CONNECT_DEADLINE = 2.0  # seconds
ANSWER_DEADLINE = 5.0
ROWS_MAX = 100_000
DATAGRAM_MAX = 8192
LEFT_OUT = "left out: "  # in the text of a template; pupitre/nursery/template.py

HELP = {
    "status": "say what a nursery has: templates, workers, memory, refusals; exit status 0 once it can fork",
    "drain": "fork no new workers; the nursery ends when the last one has ended",
    "reload": "warm a new Python and fork from it once it is ready; running kernels keep theirs",
}


class Unreachable(Exception):
    """No nursery answers; the text says which and why."""


def connect(given: str | None) -> tuple[socket.socket, str]:
    """A connection to the first nursery that listens, and its path. Raises Unreachable with what the last one said."""
    reason = f"{messages.SOCKET_VARIABLE} is off"
    for path in places.to_ask() if given is None else [given]:
        peer = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        peer.settimeout(CONNECT_DEADLINE)
        try:
            peer.connect(path)
        except OSError as error:
            peer.close()
            reason = f"no nursery listens at {path}: {error.strerror or error}"
            continue
        credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        uid = struct.unpack("iII", credentials)[1]
        if given is None and uid not in (0, os.geteuid()):
            peer.close()
            reason = f"{path} belongs to user {uid}, whom kernels of yours do not ask"
            continue
        return peer, path
    raise Unreachable(reason)


def receive(peer: socket.socket, path: str, deadline: float) -> Iterator[Status | Row | Answer]:
    """What comes until the answer that ends it, which is yielded as well. Raises Unreachable."""
    end = time.monotonic() + deadline
    for _ in range(ROWS_MAX):
        peer.settimeout(max(0.001, end - time.monotonic()))
        try:
            datagram = peer.recv(DATAGRAM_MAX)
        except TimeoutError:
            raise Unreachable(f"the nursery at {path} did not answer within {deadline:.0f} s") from None
        except OSError as error:
            raise Unreachable(f"the nursery at {path} is gone: {error.strerror}") from None
        if not datagram:
            raise Unreachable(f"the nursery at {path} hung up")
        try:
            message = messages.decode(datagram)
        except messages.Malformed as error:
            raise Unreachable(f"what listens at {path} speaks another language: {error}") from None
        yield message
        if isinstance(message, Answer) and message.op in (Op.DONE, Op.REFUSED):
            return
    raise Unreachable(f"the nursery at {path} does not stop answering")


def ask(given: str | None, op: Op, deadline: float) -> tuple[str, list[Status | Row | Answer]]:
    """One question: the path of who answered, and everything it said, DONE or REFUSED last. Raises Unreachable."""
    peer, path = connect(given)
    with peer:
        try:
            peer.send(messages.request(op, os.getpid()))
        except OSError as error:
            raise Unreachable(f"the nursery at {path} is gone: {error.strerror}") from None
        return path, list(receive(peer, path, deadline))


def user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def left_out(text: str) -> list[str]:
    """Of what a template says, the packages that it does without, each with the reason."""
    return [part.removeprefix(LEFT_OUT) for part in text.split("; ") if part.startswith(LEFT_OUT)]


def is_ready(found: Status) -> bool:
    """Whether it would fork for somebody now."""
    return not found.draining and any(template.state == TemplateState.READY for template in found.templates)


def report(path: str, found: Status, rows: list[Row]) -> dict[str, Any]:
    """Everything, as the JSON says it. Times in seconds or microseconds, memory in KiB, as the keys say."""

    asked = [(template.pid, -1) for template in found.templates] + [(row.pid, row.uid) for row in rows]
    processes = glance.look(asked)

    def memory(pid: int) -> dict[str, int | None]:
        known = processes.get(pid, glance.Process()).memory
        return {f"{name}_kib": size for name, size in known._asdict().items()}

    return {
        "socket": path,
        "pid": found.pid,
        "mode": "user" if found.per_user else "system",
        "ready": is_ready(found),
        "draining": found.draining,
        "uptime_s": found.uptime,
        "forks": found.forks,
        "fork_p50_us": found.fork_p50,
        "fork_p95_us": found.fork_p95,
        "refusals": found.refusals,
        "refused": [
            {"reason": name, "text": messages.REASONS[name], "count": count} for name, count in found.refused.items()
        ],
        "templates": [
            {
                "pid": template.pid,
                "state": template.state.name.lower(),
                "age_s": template.age,
                "forks": template.forks,
                "text": template.text,
                "left_out": left_out(template.text),
                **memory(template.pid),
            }
            for template in found.templates
            if template.state != TemplateState.NONE
        ],
        "live": found.live,
        "workers": [
            {
                "pid": row.pid,
                "uid": row.uid,
                "user": user_name(row.uid),
                "state": "stopped" if row.stopped else processes.get(row.pid, glance.Process()).state,
                "age_s": row.age,
                **memory(row.pid),
            }
            for row in rows
        ],
    }


def duration(seconds: int) -> str:
    """In the two largest units: "3 d 4 h", "12 min 5 s"."""
    parts: list[str] = []
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        if seconds >= size or (unit == "s" and not parts):
            parts.append(f"{seconds // size} {unit}")
            seconds %= size
    return " ".join(parts[:2])


def megabytes(kib: list[int | None]) -> str:
    """The sum, "-" where one is not known."""
    return "-" if None in kib else f"{sum(size or 0 for size in kib) / 1024:.1f}"


def template_lines(templates: list[dict[str, Any]]) -> Iterator[str]:
    for template in templates:
        yield (
            f"template   {template['state']}, pid {template['pid']}, {duration(template['age_s'])} old, "
            f"{template['forks']} forks, {megabytes([template['resident_kib']])} MB resident"
        )
        rest = [part for part in template["text"].split("; ") if not part.startswith(LEFT_OUT)]
        if template["text"]:
            yield f"           {'; '.join(rest)}"
        yield from (f"           {LEFT_OUT}{package}" for package in template["left_out"])


def worker_lines(workers: list[dict[str, Any]]) -> Iterator[str]:
    """A table: a line for each user."""
    users = sorted({worker["user"] for worker in workers})
    if not users:
        return
    width = max(8, *map(len, users))
    columns = f"{'user':<{width}}  {'workers':>7}  {'running':>7}  {'waiting':>7}  {'stopped':>7}"
    yield f"           {columns}  {'private MB':>10}  {'shared MB':>10}"
    for user in users:
        own = [worker for worker in workers if worker["user"] == user]
        states = Counter(worker["state"] for worker in own)
        counts = f"{len(own):>7}  {states['running']:>7}  {states['waiting']:>7}  {states['stopped']:>7}"
        memory = [megabytes([worker[name] for worker in own]) for name in ("private_kib", "shared_kib")]
        if any(worker["private_kib"] is None and worker["state"] == glance.SILENT for worker in own):
            memory = [glance.SILENT, glance.SILENT]
        yield f"           {user:<{width}}  {counts}  {memory[0]:>10}  {memory[1]:>10}"


def text(facts: dict[str, Any]) -> Iterator[str]:
    """The report for people, a line at a time."""
    state = "draining" if facts["draining"] else "ready" if facts["ready"] else "not ready"
    whose = "all users" if facts["mode"] == "system" else "one user"
    yield f"nursery    {state}, at {facts['socket']}, for {whose}, pid {facts['pid']}, up {duration(facts['uptime_s'])}"
    yield from template_lines(facts["templates"])
    users = len({worker["uid"] for worker in facts["workers"]})
    yield f"workers    {facts['live']} alive" + (f", of {users} user{'s' * (users > 1)}" if users else "")
    yield from worker_lines(facts["workers"])
    speed = f", half within {facts['fork_p50_us'] / 1000:.1f} ms, 95 % within {facts['fork_p95_us'] / 1000:.1f} ms"
    yield f"forks      {facts['forks']}" + (speed if facts["forks"] else "")
    yield f"refused    {facts['refusals']}" + (", and started cold:" if facts["refusals"] else "")
    for row in sorted(facts["refused"], key=lambda row: -row["count"]):
        yield f"           {row['count']:>7}  {row['text']}"


def tell_unreachable(error: Unreachable) -> int:
    print(f"pupitre nursery: {error}", file=sys.stderr)
    return EXIT_NOBODY


def tell_refused(answer: Answer) -> int:
    print(f"pupitre nursery: refused: {messages.reason_text(answer.reason)}", file=sys.stderr)
    return EXIT_NOT_READY


def show(given: str | None, options: argparse.Namespace) -> int:
    """`pupitre nursery status`."""
    try:
        path, said = ask(given, Op.STATUS, ANSWER_DEADLINE)
    except Unreachable as error:
        if options.json:
            print(json.dumps({"ready": False, "error": str(error)}))
        return tell_unreachable(error)
    last = said[-1]
    if isinstance(last, Answer) and last.op == Op.REFUSED:
        return tell_refused(last)
    found = [message for message in said if isinstance(message, Status)]
    if not found:
        return tell_unreachable(Unreachable(f"the nursery at {path} does not say how it is"))
    facts = report(path, found[0], [message for message in said if isinstance(message, Row)])
    print(json.dumps(facts, indent=1) if options.json else "\n".join(text(facts)))
    return EXIT_READY if facts["ready"] else EXIT_NOT_READY


def order(op: Op, done: str) -> Callable[[str | None, argparse.Namespace], int]:
    """A command that is answered with DONE or REFUSED."""

    def run(given: str | None, _: argparse.Namespace) -> int:
        try:
            path, said = ask(given, op, ANSWER_DEADLINE)
        except Unreachable as error:
            return tell_unreachable(error)
        last = said[-1]
        if not isinstance(last, Answer) or last.op == Op.REFUSED:
            return tell_refused(last) if isinstance(last, Answer) else EXIT_NOT_READY
        print(f"{path}: {done}")
        return 0

    return run


ACTIONS: dict[str, Callable[[str | None, argparse.Namespace], int]] = {
    "status": show,
    "drain": order(Op.DRAIN, "no new workers; it ends when the last one has ended"),
    "reload": order(Op.RELOAD, "a new Python is being warmed; `pupitre nursery status` shows it"),
}
