# SPDX-License-Identifier: BSD-3-Clause
"""messages.py says what messages.h and reasons.c say: sizes, places of members, numbers, sentences."""

from __future__ import annotations

import json
import re
import struct
import subprocess
from typing import Any

import pytest
from conftest import ROOT
from pupitre.nursery import messages

HEADER = ROOT / "kernel" / "nursery" / "messages.h"
VERSION = re.search(r"project\(pupitre VERSION ([0-9.]+)", (ROOT / "CMakeLists.txt").read_text())[1]

TEXTS = ("SOCKET", "RUNTIME_FOLDERS", "HOME_SOCKET", "SYSTEM_SOCKET", "SOCKET_VARIABLE")
# Members in the order of each struct.Struct.
MEMBERS = {
    "nursery_request": (messages.REQUEST, "magic version op id build python kernel note"),
    "nursery_answer": (
        messages.ANSWER,
        "magic version op id pid status reason verdict reserved user_us system_us peak_kib",
    ),
    "nursery_template_status": (messages.TEMPLATE_STATUS, "pid state age_s forks python text"),
    "nursery_row": (messages.ROW, "pid uid age_s stopped reserved kernel"),
    "nursery_user": (messages.USER, "uid deaths over_memory cold forks used_us"),
    "nursery_status": (
        messages.STATUS,
        "magic version op id pid draining per_user template_count uptime_s forks refusals live fork_us refused",
    ),
}


def places_of(format_: struct.Struct) -> list[int]:
    """Where each item of a native format begins; several of one letter are several items."""
    items = re.findall(r"(\d*)([a-zA-Z])", format_.format.lstrip("@"))
    singles: list[str] = []
    for count, letter in items:
        singles += [count + letter] if letter == "s" else [letter] * int(count or 1)
    return [
        struct.calcsize("@" + "".join(singles[: i + 1])) - struct.calcsize("@" + single)
        for i, single in enumerate(singles)
    ]


@pytest.fixture(scope="module")
def spoken_by_c(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a program that includes the header prints."""
    folder = tmp_path_factory.mktemp("c")
    names = re.findall(r"^\t(NURSERY_\w+)", HEADER.read_text(), re.MULTILINE)
    names += re.findall(r"(NURSERY_TEMPLATE_\w+)(?=[,} ])", HEADER.read_text())
    lines = [f'printf("\\"{name}\\": %d,\\n", (int){name});' for name in dict.fromkeys(names)]
    for name, (_, members) in MEMBERS.items():
        lines.append(f'printf("\\"{name}\\": %zu,\\n", sizeof(struct {name}));')
        for member in members.split():
            lines.append(f'printf("\\"{name}.{member}\\": %zu,\\n", offsetof(struct {name}, {member}));')
    lines.append('printf("\\"status.templates\\": %zu,\\n", offsetof(struct nursery_status, templates));')
    for name in ("MAGIC", "VERSION", "TEMPLATES_MAX", "FORK_TIMES"):
        lines.append(f'printf("\\"{name}\\": %u,\\n", NURSERY_{name});')
    for name in ("BUILD", *TEXTS):
        lines.append(f'printf("\\"{name}\\": \\"%s\\",\\n", NURSERY_{name});')
    loop = "for (unsigned i = 0; i <= NURSERY_REASON_COUNT; i++) "
    loop += 'printf("%s\\"%s\\"", i ? "," : "", nursery_reason_text(i));'
    main = "\n".join(['printf("{");', *lines, 'printf("\\"texts\\": [");', loop, 'printf("]}");'])
    (folder / "say.c").write_text(
        f'#include "nursery/messages.h"\n#include <stddef.h>\n#include <stdio.h>\nint main(void) {{\n{main}\n}}\n'
    )
    sources = (folder / "say.c", ROOT / "kernel" / "nursery" / "reasons.c")
    define, include = f'-DPUPITRE_VERSION="{VERSION}"', f"-I{ROOT / 'kernel'}"
    command = ("cc", "-D_GNU_SOURCE", define, include, "-o", folder / "say", *sources)
    subprocess.run(command, check=True, timeout=60)
    shown = subprocess.run([folder / "say"], check=True, capture_output=True, timeout=10).stdout
    return json.loads(shown)


@pytest.mark.parametrize("name", MEMBERS)
def test_structs_are_laid_out_alike(spoken_by_c: dict[str, Any], name: str) -> None:
    format_, members = MEMBERS[name]
    places = places_of(format_)
    assert {spoken_by_c[f"{name}.{member}"] for member in members.split()} <= set(places)
    whole = messages.STATUS_SIZE if name == "nursery_status" else format_.size
    assert whole == spoken_by_c[name]


def test_templates_follow_the_status_at_once(spoken_by_c: dict[str, Any]) -> None:
    assert messages.STATUS.size == spoken_by_c["status.templates"]


def test_constants(spoken_by_c: dict[str, Any]) -> None:
    for name in ("MAGIC", "VERSION", "TEMPLATES_MAX", "FORK_TIMES", *TEXTS):
        assert getattr(messages, name) == spoken_by_c[name]
    assert spoken_by_c["BUILD"] == VERSION + messages.BUILD_SUFFIX


def test_operations_and_states(spoken_by_c: dict[str, Any]) -> None:
    for op in messages.Op:
        assert op == spoken_by_c[f"NURSERY_{op.name}"]
    for state in messages.TemplateState:
        assert state == spoken_by_c[f"NURSERY_TEMPLATE_{state.name}"]


def test_reasons(spoken_by_c: dict[str, Any]) -> None:
    assert len(messages.REASONS) == spoken_by_c["NURSERY_REASON_COUNT"]
    for number, name in enumerate(messages.REASONS):
        assert number == spoken_by_c[f"NURSERY_{name}"]
    texts = [messages.reason_text(number) for number in range(len(messages.REASONS) + 1)]
    assert texts == spoken_by_c["texts"]


def test_what_is_not_of_the_protocol_is_malformed() -> None:
    good = messages.ANSWER.pack(messages.MAGIC, messages.VERSION, messages.Op.DONE, 7, 0, 0, 0, 0, 0, 0, 0, 0)
    assert messages.decode(good) == messages.Answer(messages.Op.DONE, 7, 0)
    bad_state = status_datagram(states=[99])
    for datagram in (b"", b"\0" * 15, good[:-1], good + b"\0", b"\0" + good[1:], bad_state, status_datagram(count=5)):
        with pytest.raises(messages.Malformed):
            messages.decode(datagram)


def test_files_of_another_size_are_malformed() -> None:
    row, user = bytes(messages.ROW.size), bytes(messages.USER.size)
    assert messages.rows_of(row * 2) == [messages.Row(0, 0, 0, False, "")] * 2
    assert messages.users_of(user) == [messages.User(0, 0, 0, {}, 0, 0)]
    for parse, content in ((messages.rows_of, row + b"x"), (messages.users_of, user[:-1])):
        with pytest.raises(messages.Malformed):
            parse(content)


def status_datagram(states: list[int] | None = None, count: int | None = None) -> bytes:
    states = states or []
    head = messages.STATUS.pack(
        *(messages.MAGIC, messages.VERSION, messages.Op.STATUS, 1, 10, 0, 1, len(states) if count is None else count),
        *[0] * (4 + messages.FORK_TIMES + len(messages.REASONS)),
    )
    templates = [messages.TEMPLATE_STATUS.pack(1, state, 0, 0, 0, 0, 0, 0, b"") for state in states]
    return (head + b"".join(templates)).ljust(messages.STATUS_SIZE, b"\0")


def test_texts_are_made_printable() -> None:
    assert messages.text_of(b"numpy 1.24\0rest") == "numpy 1.24"
    assert messages.text_of(b"\x1b[2J\xff\n") == "?[2J??"
