# SPDX-License-Identifier: BSD-3-Clause
"""The part of kernel/nursery/messages.h that the command line speaks: questions to a listener and its answers.

Formats, numbers and sentences repeat the header and reasons.c; tests/nursery_cli compares them with C's.
"""

from __future__ import annotations

import struct
import uuid
from enum import IntEnum
from typing import Any, Final, NamedTuple

from pupitre import version

MAGIC: Final = 0x4E505550
VERSION: Final = 1
SOCKET: Final = "pupitre/nursery.sock"  # below the runtime directory
RUNTIME_FOLDERS: Final = "/run/user/"  # and the user's number
HOME_SOCKET: Final = ".local/state/pupitre/nursery-"  # and the machine's name, and ".sock"
SYSTEM_SOCKET: Final = "/run/pupitre/nursery.sock"
SOCKET_VARIABLE: Final = "PUPITRE_NURSERY"
BUILD_SUFFIX: Final = "/4"
TEMPLATES_MAX: Final = 4
FORK_TIMES: Final = 256

HEADER: Final = struct.Struct("@IHHQ")  # magic, version, op, id: how every datagram begins
REQUEST: Final = struct.Struct("@IHHQ32s4Q2Q2iI2H2Q")
ANSWER: Final = struct.Struct("@IHHQiiHHI3Q")
TEMPLATE_STATUS: Final = struct.Struct("@iI2Q4Q488s")


class Op(IntEnum):
    """enum nursery_op, as far as the command line goes."""

    STATUS = 2
    DRAIN = 3
    RELOAD = 4
    LEDGER = 5
    REFUSED = 18
    DONE = 20


class TemplateState(IntEnum):
    """enum nursery_template_state."""

    NONE = 0
    BUILDING = 1
    READY = 2
    OLD = 3
    UNFIT = 4


# enum nursery_reason in its order: the enumerator without its prefix, and the sentence of reasons.c.
REASONS: Final = {
    "OK": "nothing is wrong",
    "BAD_REQUEST": "the request was malformed",
    "BAD_BUILD": "the nursery is another version of Pupitre",
    "NOT_ALLOWED": "this user may not use this nursery",
    "TOO_MANY": "this user has as many kernels, or starts them as often, as the nursery allows",
    "FULL": "the nursery has as many kernels as it may",
    "NOT_READY": "the nursery's Python is not ready: still loading, or it could not be loaded",
    "DRAINING": "the nursery is being drained",
    "OTHER_PYTHON": "the kernel wants another interpreter or virtual environment than the nursery's",
    "STALE": "packages changed since the nursery's Python was loaded",
    "THREADS": "the nursery's Python has a thread, with which it cannot be copied",
    "NO_MEMORY": "the machine could not fork",
    "OTHER_NAMESPACE": "the kernel runs in other namespaces (a container) than the nursery",
    "OTHER_LABEL": "the kernel has another security label than the nursery",
    "SECCOMP": "the kernel is under a seccomp filter that the nursery is not under",
    "NO_NEW_PRIVS": "no_new_privs of the kernel and of the nursery differ, or both have it and serve-confined is off",
    "OTHER_ROOT": "the kernel has another root directory than the nursery",
    "GROUPS": "the user is in more groups than a request can carry",
    "CGROUP": "the kernel's cgroup cannot be joined",
    "PLACEMENT": "something about the kernel's process cannot be reproduced",
    "ENVIRONMENT": "an environment variable is set that a copied Python cannot follow",
    "TEMPLATE_DIED": "the nursery's Python died",
    "NO_NURSERY": "no nursery listens",
    "NO_ANSWER": "the nursery did not answer in time",
    "UNLIKE": "the user's settings do not fit the copied Python (a matplotlibrc, a module with the same name)",
}

STATUS: Final = struct.Struct(f"@IHHQi3I4Q{FORK_TIMES}I{len(REASONS)}Q")  # TEMPLATES_MAX times TEMPLATE_STATUS follow
STATUS_SIZE: Final = STATUS.size + TEMPLATES_MAX * TEMPLATE_STATUS.size
ROW: Final = struct.Struct("@iIQII16s")  # these two in files
USER: Final = struct.Struct(f"@3I{len(REASONS)}I2Q")
STRANGERS: Final = 2**32 - 1


def reason_text(reason: int) -> str:
    """One sentence for administrators, without a full stop; what nursery_reason_text says."""
    sentences = list(REASONS.values())
    return sentences[reason] if 0 <= reason < len(sentences) else "an unknown reason"


class Malformed(Exception):
    """A datagram that is not of this protocol; the text says what about it."""


class Answer(NamedTuple):
    """struct nursery_answer, as far as it concerns the command line: DONE, or REFUSED and why."""

    op: int
    id: int
    reason: int


class Template(NamedTuple):
    """struct nursery_template_status."""

    pid: int
    state: TemplateState
    age: int  # seconds
    forks: int
    text: str  # the fingerprint, or why it is unfit


class Status(NamedTuple):
    """struct nursery_status."""

    pid: int
    draining: bool
    per_user: bool
    uptime: int  # seconds
    forks: int
    refusals: int
    live: int
    fork_p50: int  # microseconds, of the newest 256
    fork_p95: int
    refused: dict[str, int]  # by the names in REASONS; those that happened
    templates: list[Template]


class Row(NamedTuple):
    """struct nursery_row: one worker."""

    pid: int
    uid: int
    age: int  # seconds
    stopped: bool
    kernel: str  # its id, as its user says; "" where it has none


class User(NamedTuple):
    """struct nursery_user: what is known of one user since the nursery began."""

    uid: int  # or STRANGERS: all who may not start a kernel
    deaths: int
    over_memory: int
    cold: dict[str, int]  # by the names in REASONS; those that happened
    forks: int
    used: int  # microseconds of processor time, of workers that have ended


def request(op: Op, number: int) -> bytes:
    """A struct nursery_request that asks for STATUS, DRAIN or RELOAD."""
    build = (version() + BUILD_SUFFIX).encode("ascii")
    return REQUEST.pack(MAGIC, VERSION, op, number, build, *[0] * 13)


def text_of(field: bytes) -> str:
    """A NUL-terminated field; what is not printable ASCII becomes "?"."""
    raw = field.split(b"\0", 1)[0].decode("ascii", "replace")
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in raw)


def status_of(datagram: bytes) -> Status:
    """A struct nursery_status whose header was looked at."""
    _, _, _, _, pid, draining, per_user, count, up, forks, refusals, live, *rest = STATUS.unpack_from(datagram)
    times, refused = sorted(rest[: min(forks, FORK_TIMES)]), rest[FORK_TIMES:]
    if count > TEMPLATES_MAX:
        raise Malformed(f"{count} templates")
    templates = []
    for i in range(count):
        pid_, state, age, forks_, _, _, _, _, text = TEMPLATE_STATUS.unpack_from(
            datagram, STATUS.size + i * TEMPLATE_STATUS.size
        )
        if state not in TemplateState.__members__.values():
            raise Malformed(f"a template in state {state}")
        templates.append(Template(pid_, TemplateState(state), age, forks_, text_of(text)))
    by_name = {name: number for name, number in zip(REASONS, refused, strict=True) if number}
    p50, p95 = (times[len(times) * percent // 100] if times else 0 for percent in (50, 95))
    return Status(pid, bool(draining), bool(per_user), up, forks, refusals, live, p50, p95, by_name, templates)


def _entries(layout: struct.Struct, content: bytes, what: str) -> list[tuple[Any, ...]]:
    """Of a file of structs."""
    try:
        return list(layout.iter_unpack(content))
    except struct.error:
        raise Malformed(f"{len(content)} bytes of {what}") from None


def rows_of(content: bytes) -> list[Row]:
    """The file that comes with a Status. Raises Malformed."""
    return [
        Row(pid, uid, age, bool(stopped), str(uuid.UUID(bytes=kernel)) if any(kernel) else "")
        for pid, uid, age, stopped, _, kernel in _entries(ROW, content, "rows")
    ]


def users_of(content: bytes) -> list[User]:
    """The file that comes with DONE for LEDGER. Raises Malformed."""
    return [
        User(uid, deaths, over, {name: n for name, n in zip(REASONS, cold, strict=True) if n}, forks, used)
        for uid, deaths, over, *cold, forks, used in _entries(USER, content, "users")
    ]


def decode(datagram: bytes) -> Answer | Status:
    """What a listener sent. Raises Malformed."""
    if len(datagram) < HEADER.size:
        raise Malformed(f"{len(datagram)} bytes")
    magic, version_, op, number = HEADER.unpack_from(datagram)
    if magic != MAGIC:
        raise Malformed("not a nursery's magic number")
    if version_ != VERSION:
        raise Malformed(f"version {version_} of the protocol, not {VERSION}")
    if len(datagram) == ANSWER.size:
        return Answer(op, number, ANSWER.unpack(datagram)[6])
    if op == Op.STATUS and len(datagram) == STATUS_SIZE:
        return status_of(datagram)
    raise Malformed(f"{len(datagram)} bytes with operation {op}")
