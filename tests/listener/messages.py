# SPDX-License-Identifier: BSD-3-Clause
"""kernel/nursery/messages.h in Python, for a front and a template that are made of Python."""

from __future__ import annotations

import array
import enum
import functools
import os
import re
import socket
import struct
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HEADER = (ROOT / "kernel/nursery/messages.h").read_text()
PROJECT = re.search(r"project\(pupitre VERSION ([0-9.]+)", (ROOT / "CMakeLists.txt").read_text())
assert PROJECT is not None

MAGIC = 0x4E505550
VERSION = 1
BUILD = (PROJECT[1] + re.findall(r'NURSERY_BUILD PUPITRE_VERSION "(.*)"', HEADER)[0]).encode()
DEADLINE = float(os.environ.get("TEST_DEADLINE", "10"))  # seconds for anything that should come at once


class Op(enum.IntEnum):
    START = 1
    STATUS = 2
    DRAIN = 3
    RELOAD = 4
    LEDGER = 5
    NOTE_COLD = 6
    NOTE_DIED = 7
    QUEUED = 16
    FORKED = 17
    REFUSED = 18
    CHANGED = 19
    DONE = 20
    READY = 32
    UNFIT = 33
    FAILED = 34
    FORK = 48


def _reasons() -> list[str]:
    """The names of enum nursery_reason in their order, from the header itself."""
    body = HEADER.split("enum nursery_reason {")[1].split("}")[0]
    return re.findall(r"NURSERY_([A-Z_]+)\s*(?:=\s*0)?,", body)


Reason = enum.IntEnum("Reason", [(name, number) for number, name in enumerate(_reasons())])  # type: ignore[misc]

REQUEST = struct.Struct("=IHHQ32s4Q16s32s")
NOTE = struct.Struct("=iiIHHQQ")
ANSWER = struct.Struct("=IHHQiiHHIQQQ")
REPORT = struct.Struct("=IHHQiiHHIQQQ488s")
PLACEMENT = struct.Struct("=3I256I4x32Q2i2iiIQII16QQII")
ORDER_HEAD = struct.Struct("=IHHQiI")
TEMPLATE_STATUS = struct.Struct("=iIQQ4Q488s")
STATUS_HEAD = struct.Struct("=IHHQiIIIQQQQ256I")
REFUSED = struct.Struct(f"={len(Reason)}Q")
ROW = struct.Struct("=iIQII16s")
EVENT = struct.Struct("=4I16s32s")
TEMPLATES_MAX = 4
FDS = 10
GROUPS_MAX = 256

assert REQUEST.size == 128 and NOTE.size == 32 and ANSWER.size == 56


@dataclass
class Answer:
    op: Op
    id: int
    pid: int
    status: int
    reason: int
    verdict: int
    user_us: int
    system_us: int
    peak_kib: int
    pidfd: int = -1

    @classmethod
    def parse(cls, data: bytes, fds: list[int]) -> Answer:
        magic, version, op, ident, pid, status, reason, verdict, reserved, user, system, peak = ANSWER.unpack(data)
        assert (magic, version, reserved) == (MAGIC, VERSION, 0)
        assert len(fds) == (op == Op.FORKED)
        return cls(Op(op), ident, pid, status, reason, verdict, user, system, peak, fds[0] if fds else -1)


@dataclass
class Placement:
    """struct nursery_placement."""

    uid: int
    gid: int
    groups: list[int]
    limits: list[tuple[int, int]]
    nice: int
    oom_score_adj: int
    policy: int
    priority: int
    ioprio: int
    loginuid: int
    timer_slack_ns: int
    coredump_filter: int
    personality: int
    cpus: set[int]
    cap_bounding: int
    cgroup_count: int
    keep_identity: int

    @classmethod
    def parse(cls, data: bytes) -> Placement:
        v = list(PLACEMENT.unpack(data))
        uid, gid, group_count = v[:3]
        groups, limits, rest = v[3 : 3 + GROUPS_MAX], v[259:291], v[291:]
        cpus = {64 * i + bit for i, word in enumerate(rest[9:25]) for bit in range(64) if word >> bit & 1}
        return cls(
            uid,
            gid,
            groups[:group_count],
            list(zip(limits[::2], limits[1::2], strict=True)),
            *rest[:9],
            cpus,
            *rest[25:],
        )


@functools.cache
def interpreter(path: str) -> tuple[int, int, int, int]:
    """struct nursery_interpreter of a path."""
    program, folder = os.stat(path), os.stat(os.path.dirname(path) + "/")
    return program.st_dev, program.st_ino, folder.st_dev, folder.st_ino


def receive(sock: socket.socket, size: int = 65536) -> tuple[bytes, list[int]]:
    """One datagram with its descriptors, within the socket's deadline; b"" at the end of the connection."""
    fds = array.array("i")
    data, control, flags, _ = sock.recvmsg(size, socket.CMSG_SPACE(64 * fds.itemsize), socket.MSG_CMSG_CLOEXEC)
    assert not flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC)
    for level, kind, content in control:
        assert (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
        fds.frombytes(content)
    return data, list(fds)


def send(sock: socket.socket, data: bytes, fds: list[int] | None = None) -> None:
    control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    sock.sendmsg([data], control)


@dataclass
class Status:
    """The answer to STATUS."""

    pid: int
    draining: bool
    per_user: bool
    uptime_s: int
    forks: int
    refusals: int
    live: int
    fork_us: tuple[int, ...]
    refused: dict[str, int]
    templates: list[tuple[int, int, int, str]]  # pid, state, forks, text
    rows: list[tuple[int, int, int]] = field(default_factory=list)  # pid, uid, stopped

    @classmethod
    def parse(cls, data: bytes) -> Status:
        head = STATUS_HEAD.unpack_from(data)
        assert head[:3] == (MAGIC, VERSION, Op.STATUS)
        at = STATUS_HEAD.size
        counts = REFUSED.unpack_from(data, at)
        at += REFUSED.size
        templates = []
        for i in range(head[7]):
            pid, state, _, forks, _, _, _, _, text = TEMPLATE_STATUS.unpack_from(data, at + i * TEMPLATE_STATUS.size)
            templates.append((pid, state, forks, text.split(b"\0")[0].decode("ascii")))
        assert len(data) == at + TEMPLATES_MAX * TEMPLATE_STATUS.size
        refused = {reason.name: count for reason, count in zip(Reason, counts, strict=True) if count}
        return cls(head[4], bool(head[5]), bool(head[6]), *head[8:12], head[12:], refused, templates)


interpreter("/usr/bin/python3")  # while there is one: tests go where there is none
