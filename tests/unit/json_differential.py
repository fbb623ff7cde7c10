# SPDX-License-Identifier: BSD-3-Clause
"""Holds our JSON reader against Python's, which every client uses, on generated and damaged documents.

Usage: json_differential.py JSON_PEER CASES_DIRECTORY. Deterministic. Exit status 1 with the first disagreements.
"""

from __future__ import annotations

import json
import random
import struct
import subprocess
import sys
from pathlib import Path

DOCUMENTS = 100_000
DEPTH_MAX = 128
MEMBERS = ("a", "b", "msg_id")
TOKENS = [
    *(b"{", b"}", b"[", b"]", b",", b":", b'"', b" ", b"\n", b"[[", b"]]", b'"a": 1', b', "msg_id": "x"'),
    *(b"\\", b"\\u", b"\\ud800", b"\\udc00", b"\\u0000", b"\\u0061", b"/"),
    *(b"0", b"-", b"+", b".", b"e", b"E5", b"1", b"true", b"null", b"NaN", b"-Infinity"),
    *(b"\xff", b"\xed\xa0\x80", b"\xc3", b"\xa9", b"\x00", b"\x1f", b"\xef\xbb\xbf", "é".encode(), "😀".encode()),
]
SCALARS = ["1", "-0", "0.5", "1e5", "-1E-7", "1e999", "1" * 30, "NaN", "Infinity", "true", "false", "null"]
STRINGS = [
    *('""', '"x"', '"é😀"', '"\x7f"', '"a\\"}]\\\\"'),
    *('"\\u0061"', '"\\ud83d\\ude00"', '"\\ud83d"', '"\\n\\u0000"', '"\\ufffd"'),
]


def generate(random_: random.Random, depth: int = 0) -> str:
    """A well-formed value; at depth 0 an object."""
    kind = random_.randrange(4)
    if depth > 0 and (kind < 2 or depth > 4):
        return random_.choice(STRINGS if kind else SCALARS)
    space = random_.choice(["", " ", "\n\t"])
    count = random_.randrange(4)
    if depth == 0 or kind == 2:
        keys = ['"a"', '"b"', '"msg_id"', '"\\u0061"', '"c"', '""']
        members = (f"{random_.choice(keys)}{space}:{space}{generate(random_, depth + 1)}" for _ in range(count))
        return "{" + space + f"{space},{space}".join(members) + space + "}"
    return "[" + space + ",".join(generate(random_, depth + 1) for _ in range(count)) + "]"


def damage(random_: random.Random, document: bytes) -> bytes:
    """Up to three small changes."""
    for _ in range(random_.randrange(4)):
        at = random_.randrange(len(document) + 1)
        end = min(len(document), at + random_.choice([0, 0, 1, 1, 2, 5]))
        document = document[:at] + random_.choice([b"", *TOKENS]) + document[end:]
    return document


def depth_of(value: object) -> int:
    """Nesting; 1 for an empty object."""
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    return 0


def expected(document: bytes) -> list[object] | None:
    """What the peer should find, by Python's reader. None: reject."""
    try:
        value = json.loads(document.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or depth_of(value) > DEPTH_MAX:
        return None
    return [[value[name]] if name in value else None for name in MEMBERS]


def comparable(members: list[object]) -> list[str]:
    """Texts that are equal for equal members, NaN included. A member's string is a C string at the other end."""
    return [repr([without_holes(member[0])] if isinstance(member, list) else member) for member in members]


def without_holes(value: object) -> object:
    """NUL and surrogates, which a C string in UTF-8 cannot hold, as U+FFFD."""
    if not isinstance(value, str):
        return value
    return "".join("\ufffd" if c == "\0" or "\ud800" <= c <= "\udfff" else c for c in value)


def agree(wanted: list[object] | None, got: list[object] | None) -> bool:
    """Same verdict, same values."""
    if wanted is None or got is None:
        return wanted is got
    return comparable(wanted) == comparable(got)


def make_documents(cases: Path) -> list[bytes]:
    """The cases' inputs, then what chance makes of them and of generated objects."""
    random_ = random.Random(5)
    known = [path.read_bytes() for module in ("json", "header") for path in sorted(cases.glob(f"{module}/*/*/input"))]
    documents = list(known)
    while len(documents) < DOCUMENTS:
        base = random_.choice(known) if random_.random() < 0.3 else generate(random_).encode("utf-8")
        documents.append(damage(random_, base))
    return documents


def main(peer: str, cases: str) -> int:
    documents = make_documents(Path(cases))
    stream = b"".join(struct.pack("=I", len(document)) + document for document in documents)
    output = subprocess.run([peer], input=stream, capture_output=True, check=True, timeout=120).stdout
    accepted = disagreements = 0
    for document, line in zip(documents, output.decode().split("\n")[:-1], strict=True):
        wanted = expected(document)
        got = None if line == "reject" else json.loads(line)
        accepted += wanted is not None
        if agree(wanted, got):
            continue
        disagreements += 1
        if disagreements <= 10:
            print(f"{document!r}\n  python {wanted!r}\n  ours   {got!r}")
    print(f"{len(documents)} documents, {accepted} accepted, {disagreements} disagreements")
    return int(disagreements > 0 or not 0.2 < accepted / len(documents) < 0.8)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
