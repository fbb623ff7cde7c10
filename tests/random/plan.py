# SPDX-License-Identifier: BSD-3-Clause
"""What happens in a random life, worked out from its seed before it begins and from nothing else."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from cells import Cell, make_cell

CLIENTS = 3
SLOW = 2  # this client reads nothing unless it must
ONCE, PERHAPS, NEVER = "once", "perhaps", "never"  # whether a request gets its busy, reply and idle

Content = dict[str, Any]


@dataclass
class Ask:
    """A client sends a request: of a cell, or with this content."""

    number: int
    client: int
    msg_type: str = "execute_request"
    channel: str = "shell"
    cell: Cell | None = None
    content: Content | bytes = field(default_factory=dict)
    header: Content = field(default_factory=dict)  # fields that replace the usual ones
    raw_header: bytes | None = None  # the whole header frame
    metadata: Content | bytes = b"{}"
    parent: Content | bytes = b"{}"
    buffers: list[bytes] = field(default_factory=list)
    damage: str = ""  # what is done to the frames: "signature", "twice", "short"
    answered: str = ONCE
    types: list[str] | None = None  # what iopub brings between busy and idle, when nobody stops it


@dataclass
class Stop:
    """The interrupt button, `delay` seconds after what came before."""

    number: int
    by_message: bool
    delay: float


@dataclass
class Wait:
    """Time passes; what comes is read."""

    number: int
    seconds: float


@dataclass
class Settle:
    """Until everything that was asked is answered."""

    number: int


@dataclass
class Vanish:
    """A client goes without a word; another takes its place, under the same session as a page that is loaded again, or
    under a new one.
    """

    number: int
    client: int
    same_session: bool


@dataclass
class Garbage:
    """Somebody sends frames that are no message."""

    number: int
    channel: str
    frames: list[bytes]


Step = Ask | Stop | Wait | Settle | Vanish | Garbage

JUNK: list[Any] = [None, True, -1, 0, 1.5, 10**30, "", "x", "é𝄞", "\ud800", "\0", [], [1, "a", None], {}, {"a": {}}]
NOT_JSON = [b"", b"{", b"nonsense", b"[]", b"null", b'"x"', b"\xff\xfe", b'{"a": NaN}', b"[" * 500, b'{"a":' * 100]

FIELDS: dict[str, Content] = {
    "execute_request": {"code": "1", "silent": False, "store_history": True, "user_expressions": {}, "x": 1},
    "inspect_request": {"code": "print", "cursor_pos": 3, "detail_level": 0},
    "complete_request": {"code": "pri", "cursor_pos": 3},
    "is_complete_request": {"code": "for x in y:"},
    "history_request": {"output": False, "raw": True, "hist_access_type": "tail", "n": 3},
    "comm_info_request": {"target_name": "random"},
    "kernel_info_request": {},
    "connect_request": {},
    "debug_request": {"command": "initialize", "seq": 1, "type": "request"},
    "list_subshell_request": {},
    "dance_request": {"steps": 3},
    "x" * 300 + "_request": {},
}


def ordinary(random: Random, n: int, who: int) -> Ask:
    msg_type = random.choice(list(FIELDS))
    channel = random.choice(["shell", "shell", "control"])
    return Ask(n, who, msg_type, channel, content=FIELDS[msg_type])


def usage(random: Random, n: int, who: int) -> Ask:
    return Ask(n, who, "usage_request", "control", types=[])


def without_reply(random: Random, n: int, who: int) -> Ask:
    return Ask(n, who, random.choice(["nonsense", "comm_close", "x" * 200]), random.choice(["shell", "control"]))


def comm_opened(random: Random, n: int, who: int) -> Ask:
    content = {"comm_id": f"c{n}", "target_name": "random", "data": {}}
    return Ask(n, who, "comm_open", content=content, types=["comm_msg"])


def comm_talk(random: Random, n: int, who: int) -> Ask:
    """To the comm that every life opens at its beginning; it sends everything back."""
    buffers = [random.randbytes(random.choice([0, 1, 5000])) for _ in range(random.choice([0, 1, 3, 100]))]
    return Ask(n, who, "comm_msg", content={"comm_id": "c0", "data": {"n": n}}, buffers=buffers, types=["comm_msg"])


def comm_nonsense(random: Random, n: int, who: int) -> Ask:
    msg_type = random.choice(["comm_open", "comm_msg", "comm_close"])
    content = random.choice([{}, {"comm_id": random.choice(JUNK)}, {"comm_id": "x", "target_name": "nobody"}])
    return Ask(n, who, msg_type, content=content)


def wrong_field(random: Random, n: int, who: int) -> Ask:
    msg_type = random.choice(list(FIELDS))
    name = random.choice([*FIELDS[msg_type], "extra"])
    return Ask(n, who, msg_type, content={**FIELDS[msg_type], name: random.choice(JUNK)})


def missing_field(random: Random, n: int, who: int) -> Ask:
    msg_type = random.choice([name for name, fields in FIELDS.items() if fields])
    left = random.choice(list(FIELDS[msg_type]))
    return Ask(n, who, msg_type, content={k: v for k, v in FIELDS[msg_type].items() if k != left})


def no_json(random: Random, n: int, who: int) -> Ask:
    """Content, metadata or parent header are no JSON, or no objects."""
    part = random.choice(["content", "metadata", "parent"])
    parts: dict[str, Any] = {part: random.choice(NOT_JSON)}
    msg_type = random.choice([*FIELDS, "comm_msg"])
    return Ask(n, who, msg_type, **parts)


def odd_header(random: Random, n: int, who: int) -> Ask:
    """Fields that are missing or wrong: it is served whole, or not at all."""
    name = random.choice(["msg_id", "session", "username", "date", "version", "extra"])
    msg_type = random.choice(list(FIELDS))
    content = FIELDS[msg_type]
    return Ask(n, who, msg_type, header={name: random.choice(JUNK)}, content=content, answered=PERHAPS)


def no_header(random: Random, n: int, who: int) -> Ask:
    raw = random.choice([b"", b"[]", b"{}", b"nonsense", b'{"msg_id": "x"}', b'{"msg_type": "execute_request"}'])
    return Ask(n, who, raw_header=raw, content={"code": "1"}, answered=NEVER)


def damaged(random: Random, n: int, who: int) -> Ask:
    damage = random.choice(["signature", "short"])
    return Ask(n, who, content={"code": f"print({n})"}, damage=damage, answered=NEVER)


def sent_twice(random: Random, n: int, who: int) -> Ask:
    """The same bytes again are a replay, and dropped."""
    return Ask(n, who, content={"code": f"print({n})"}, damage="twice")


def cell(random: Random, n: int, who: int) -> Ask:
    channel = "control" if random.random() < 0.05 else "shell"
    return Ask(n, who, channel=channel, cell=make_cell(random, n))


Maker = Callable[[Random, int, int], Ask]

REQUESTS: dict[Maker, float] = {
    cell: 60,
    ordinary: 10,
    usage: 2,
    without_reply: 2,
    comm_opened: 3,
    comm_talk: 7,
    comm_nonsense: 3,
    wrong_field: 5,
    missing_field: 3,
    no_json: 3,
    odd_header: 3,
    no_header: 1,
    damaged: 2,
    sent_twice: 2,
}


def garbage(random: Random, n: int) -> Garbage:
    frames = random.choice([[b""], [b"x"], [b"<IDS|MSG>"], [b"<IDS|MSG>"] * 9, [b"a"] * 9, [random.randbytes(999)]])
    return Garbage(n, random.choice(["shell", "control", "stdin"]), frames)


def burst(random: Random, numbers: Iterator[int]) -> Iterator[Step]:
    """Some requests at once, with whatever may come between them; then quiet."""
    stops = random.random() < 0.5
    for _ in range(random.randrange(1, 12)):
        who = random.randrange(CLIENTS)
        maker = random.choices(list(REQUESTS), list(REQUESTS.values()))[0]
        yield maker(random, next(numbers), who)
        if stops and random.random() < 0.3:
            yield Stop(next(numbers), random.random() < 0.5, random.choice([0, 0, 1e-4, 1e-3, 5e-3, 2e-2]))
        if random.random() < 0.2:
            yield Wait(next(numbers), random.choice([0.0, 0.001, 0.01, 0.05]))
        if random.random() < 0.03:
            yield Vanish(next(numbers), random.randrange(CLIENTS), random.random() < 0.5)
        if random.random() < 0.03:
            yield garbage(random, next(numbers))
    yield Settle(next(numbers))


def plan(seed: str, requests: int) -> list[Step]:
    """Steps with `requests` requests at least."""
    random = Random(seed)
    numbers = iter(range(1, 1 << 30))
    steps: list[Step] = []
    asked = 0
    while asked < requests:
        more = list(burst(random, numbers))
        asked += sum(isinstance(step, Ask) for step in more)
        steps += more
    return steps
