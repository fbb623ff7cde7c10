# SPDX-License-Identifier: BSD-3-Clause
"""Asking a running nursery: what it has, to drain it, to warm a new Python.

The nursery asked is the one that a kernel would ask: --socket, else $PUPITRE_NURSERY, the user's, the machine's.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import pwd
import re
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from pupitre.nursery import glance, messages, places
from pupitre.nursery.messages import Answer, Op, Row, Status, TemplateState, User

EXIT_READY = 0
EXIT_NOT_READY = 1
EXIT_NOBODY = 3
CONNECT_DEADLINE = 2.0  # seconds
ANSWER_DEADLINE = 5.0
LEDGER_DEADLINE = 0.5
DATAGRAMS_MAX = 4
DATAGRAM_MAX = 8192
FILE_MAX = 1 << 24  # bytes
LEFT_OUT = "left out: "  # these two in the text of a template; pupitre/nursery/template.py
TRICKS = "tricks: "

HELP = {
    "status": "say what a nursery has: templates, workers, memory, refusals; exit status 0 once it can fork",
    "drain": "fork no new workers; the nursery ends when the last one has ended",
    "reload": "warm a new Python and fork from it once it is ready; running kernels keep theirs",
}


Said = Status | Row | User | Answer


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
        uid = places.listener_of(peer)[1]
        if given is None and uid not in (0, os.geteuid()):
            peer.close()
            reason = f"{path} belongs to user {uid}, whom kernels of yours do not ask"
            continue
        return peer, path
    raise Unreachable(reason)


def content_of(files: list[int]) -> bytes:
    """Of the file that came with a datagram, which only memory may be: another could be waited for. Closes it."""
    try:
        for file in files:
            fcntl.fcntl(file, fcntl.F_GET_SEALS)
            return os.pread(file, FILE_MAX, 0)
    except OSError as error:
        raise messages.Malformed(f"a file of another kind: {error.strerror}") from None
    finally:
        for file in files:
            os.close(file)
    return b""


def receive(peer: socket.socket, path: str, deadline: float) -> Iterator[Said]:
    """What comes until the answer that ends it, which is yielded as well; rows and users too. Raises Unreachable."""
    end = time.monotonic() + deadline
    for _ in range(DATAGRAMS_MAX):
        peer.settimeout(max(0.001, end - time.monotonic()))
        try:
            datagram, files, _, _ = socket.recv_fds(peer, DATAGRAM_MAX, 1)
        except TimeoutError:
            raise Unreachable(f"the nursery at {path} did not answer within {deadline:.0f} s") from None
        except OSError as error:
            raise Unreachable(f"the nursery at {path} is gone: {error.strerror}") from None
        if not datagram:
            raise Unreachable(f"the nursery at {path} hung up")
        try:
            content = content_of(files)
            message = messages.decode(datagram)
            if isinstance(message, Status):
                yield message
                yield from messages.rows_of(content)
                continue
            yield from messages.users_of(content)
        except messages.Malformed as error:
            raise Unreachable(f"what listens at {path} speaks another language: {error}") from None
        yield message
        if message.op in (Op.DONE, Op.REFUSED):
            return
    raise Unreachable(f"the nursery at {path} does not stop answering")


def ask(given: str | None, op: Op, deadline: float) -> tuple[str, list[Said]]:
    """One question: the path of who answered, and everything it said, DONE or REFUSED last. Raises Unreachable."""
    peer, path = connect(given)
    with peer:
        try:
            peer.send(messages.request(op, os.getpid()))
        except OSError as error:
            raise Unreachable(f"the nursery at {path} is gone: {error.strerror}") from None
        return path, list(receive(peer, path, deadline))


def ask_ledger(path: str) -> list[User] | None:
    """What is known of each user; None where we may not know, or the scribe does not answer."""
    try:
        said = ask(path, Op.LEDGER, LEDGER_DEADLINE)[1]
    except Unreachable:
        return None
    users = [line for line in said if isinstance(line, User)]
    last = said[-1]
    return users if isinstance(last, Answer) and last.op == Op.DONE else None


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


def cold_starts(counts: dict[str, int]) -> list[dict[str, Any]]:
    """By reason, as the JSON says it, the most frequent first."""
    return [
        {"reason": name, "text": messages.REASONS[name], "count": count}
        for name, count in sorted(counts.items(), key=lambda item: -item[1])
    ]


def report(path: str, found: Status, rows: list[Row], ledger: list[User] | None) -> dict[str, Any]:
    """Everything, as the JSON says it. Times in seconds, ms or microseconds, memory in KiB, as the keys say."""
    cold = sum((Counter(line.cold) for line in ledger), Counter[str]()) if ledger else Counter(found.refused)

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
        "refused": cold_starts(found.refused),
        "cold": cold_starts(cold),
        "deaths": None if ledger is None else sum(line.deaths for line in ledger),
        "over_memory": None if ledger is None else sum(line.over_memory for line in ledger),
        "users": [
            {
                "uid": line.uid,
                "user": user_name(line.uid),
                "forks": line.forks,
                "cold": cold_starts(line.cold),
                "deaths": line.deaths,
                "over_memory": line.over_memory,
                "ended_cpu_us": line.used,
            }
            for line in ledger or []
            if line.uid != messages.STRANGERS
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
                "kernel": row.kernel,
                "cpu_ms": processes.get(row.pid, glance.Process()).used,
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
        rest = [part for part in template["text"].split("; ") if not part.startswith((LEFT_OUT, TRICKS))]
        if template["text"]:
            yield f"           {'; '.join(rest)}"
        yield from (f"           {LEFT_OUT}{package}" for package in template["left_out"])


def natural(name: str) -> list[tuple[int, str]]:
    """By this s2 comes before s10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


COLUMNS = "kernels", "running", "waiting", "stopped", "private MB", "shared MB", "cpu s"
COLUMNS_OF_LEDGER = "forked", "cold", "died", "of memory"


def known_lines(user: dict[str, Any] | None) -> list[str]:
    """The columns of the ledger."""
    if user is None:
        return ["-"] * len(COLUMNS_OF_LEDGER)
    cold = sum(row["count"] for row in user["cold"])
    return [str(number) for number in (user["forks"], cold, user["deaths"], user["over_memory"])]


def worker_columns(workers: list[dict[str, Any]], ended_us: int) -> list[str]:
    """Of one user, the columns of COLUMNS."""
    states = Counter(worker["state"] for worker in workers)
    memory = [megabytes([worker[name] for worker in workers]) for name in ("private_kib", "shared_kib")]
    used = [worker["cpu_ms"] for worker in workers]
    cpu = "-" if None in used else f"{(sum(used) + ended_us // 1000) / 1000:.1f}"
    if any(worker["private_kib"] is None and worker["state"] == glance.SILENT for worker in workers):
        memory, cpu = [glance.SILENT, glance.SILENT], glance.SILENT
    return [*map(str, (len(workers), states["running"], states["waiting"], states["stopped"])), *memory, cpu]


def user_lines(facts: dict[str, Any]) -> Iterator[str]:
    """A table: a line for each user."""
    known = {user["user"]: user for user in facts["users"]}
    users = sorted({worker["user"] for worker in facts["workers"]} | known.keys(), key=natural)
    if not users:
        return
    rows = [["user", *COLUMNS, *COLUMNS_OF_LEDGER]]
    for user in users:
        own = [worker for worker in facts["workers"] if worker["user"] == user]
        ended = known[user]["ended_cpu_us"] if user in known else 0
        rows.append([user, *worker_columns(own, ended), *known_lines(known.get(user))])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for name, *cells in rows:
        columns = "  ".join(f"{cell:>{width}}" for cell, width in zip(cells, widths[1:], strict=True))
        yield f"           {name:<{widths[0]}}  {columns}"


def text(facts: dict[str, Any]) -> Iterator[str]:
    """The report for people, a line at a time."""
    state = "draining" if facts["draining"] else "ready" if facts["ready"] else "not ready"
    whose = "all users" if facts["mode"] == "system" else "one user"
    yield f"nursery    {state}, at {facts['socket']}, for {whose}, pid {facts['pid']}, up {duration(facts['uptime_s'])}"
    yield from template_lines(facts["templates"])
    users = len({worker["uid"] for worker in facts["workers"]})
    whose = f", of {users} user{'s' * (users > 1)}" if users else ""
    yield f"kernels    {facts['live']} alive{whose}"
    if users:
        yield "           running: a cell runs now; waiting: idle; stopped: suspended"
    yield from user_lines(facts)
    speed = f", half within {facts['fork_p50_us'] / 1000:.1f} ms, 95 % within {facts['fork_p95_us'] / 1000:.1f} ms"
    yield f"forked     {facts['forks']}" + (speed if facts["forks"] else "")
    cold = sum(row["count"] for row in facts["cold"])
    yield f"cold       {cold}" + (", because" if cold else "")
    for row in facts["cold"]:
        yield f"           {row['count']:>7}  {row['text']}"
    if facts["deaths"] is not None:
        yield f"died       {facts['deaths']}, {facts['over_memory']} of them for want of memory"


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
    facts = report(path, found[0], [message for message in said if isinstance(message, Row)], ask_ledger(path))
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
