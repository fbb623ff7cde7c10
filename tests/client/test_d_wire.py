# SPDX-License-Identifier: BSD-3-Clause
"""Specification table, section D, and hazards P1, P3-P7, P11-P14: frames, signatures, replay, headers, JSON."""

import json
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from launch import Kernel
from raw import DELIMITER, Client, Content, encode

Launch = Callable[..., Kernel]

# -- what is dropped without a word  ---


def unserved(client: Client, *, channels: Sequence[str] = ("shell", "control"), count: int = 1) -> None:
    """Requests after the bad ones are served, and nothing was said about the bad ones (verify looks for that)."""
    for _ in range(count):
        assert client.request("kernel_info_request").status == "ok"
    assert client.request("kernel_info_request", channel="control").status == "ok"
    assert client.ok("1").text == "1"


def frames_of(client: Client, code: str = "print('executed')") -> list[bytes]:
    return client.frames(client.header("execute_request"), {"code": code})


GARBAGE: dict[str, Sequence[bytes]] = {
    "one frame": [b"garbage"],
    "empty frame": [b""],
    "only the delimiter": [DELIMITER],
    "no delimiter": [b"a", b"b", b"c", b"d", b"e", b"f", b"g"],
    "three parts": [DELIMITER, b"", b"{}", b"{}", b"{}"],
    "all empty": [DELIMITER, b"", b"", b"", b"", b""],
    "delimiters": [DELIMITER] * 12,
    "nul bytes": [b"\0" * 100, DELIMITER, b"\0" * 64, b"\0", b"\0", b"\0", b"\0"],
    "1000 identities": [b"x"] * 1000 + [DELIMITER, b"", b"{}", b"{}", b"{}", b"{}"],
    "5000 frames": [b"x"] * 5000,
    "long identity": [b"x" * 70000, DELIMITER, b"", b"{}", b"{}", b"{}", b"{}"],
}


@pytest.mark.parametrize("channel", ["shell", "control", "stdin"])
@pytest.mark.parametrize("name", GARBAGE)
def test_d_garbage_is_dropped(client: Client, name: str, channel: str) -> None:
    client.send_frames(channel, GARBAGE[name])
    unserved(client)


def spoil(name: str, frames: list[bytes]) -> list[bytes]:
    """A signed message made wrong in one way."""
    at = frames.index(DELIMITER) + 1
    signature = frames[at]
    bad = {
        "unsigned": b"",
        "wrong": b"0" * len(signature),
        "one bit": signature[:-1] + (b"0" if signature[-1:] != b"0" else b"1"),
        "upper-case": signature.upper(),
        "truncated": signature[:-2],
        "longer": signature + b"00",
        "not hex": b"z" * len(signature),
        "binary": bytes.fromhex(signature.decode()),
        "spaces": b" " + signature[1:],
    }
    return [*frames[:at], bad[name], *frames[at + 1 :]]


SPOILT = ["unsigned", "wrong", "one bit", "upper-case", "truncated", "longer", "not hex", "binary", "spaces"]


@pytest.mark.parametrize("name", SPOILT)
def test_d_bad_signature_is_dropped(client: Client, name: str) -> None:
    """No busy, no idle, no reply. The signature is made of both digits and letters, so that upper-case differs."""
    client.send_frames("shell", spoil(name, frames_of(client)))
    client.send_frames("control", spoil(name, client.frames(client.header("shutdown_request"), {"restart": False})))
    client.send_frames("stdin", spoil(name, client.frames(client.header("input_reply"), {"value": "x"})))
    unserved(client)


@pytest.mark.parametrize("part", ["header", "parent", "metadata", "content"])
def test_d_signature_covers_every_part(client: Client, part: str) -> None:
    frames = frames_of(client)
    index = 2 + ["header", "parent", "metadata", "content"].index(part)
    changed = json.loads(frames[index]) | {"extra": 1}
    client.send_frames("shell", [*frames[:index], encode(changed), *frames[index + 1 :]])
    unserved(client)


def test_d_signature_of_a_shifted_boundary_is_dropped(client: Client) -> None:
    """The MAC has no lengths in it: moving bytes between parts keeps it valid, so each part must be one object."""
    for shift in (1, 2, 5, 40):
        frames = frames_of(client)
        joined = b"".join(frames[2:6])
        cuts = [len(frames[2]) + shift, len(frames[2]) + len(frames[3]) + shift, len(joined) - len(frames[5])]
        parts = [joined[: cuts[0]], joined[cuts[0] : cuts[1]], joined[cuts[1] : cuts[2]], joined[cuts[2] :]]
        client.send_frames("shell", [DELIMITER, frames[1], *parts])
    client.sync()
    client.inbox = [m for m in client.inbox if m.type != "status"]  # whoever takes the shifted header may say so
    unserved(client)


def test_d_replay_is_dropped(client: Client) -> None:
    frames = frames_of(client, "counter = globals().get('counter', 0) + 1")
    msg_id = json.loads(frames[2])["msg_id"]
    client.channels_of[msg_id] = "shell"
    client.send_frames("shell", frames)
    client.collect(msg_id)
    for channel in ("shell", "control", "shell"):
        client.send_frames(channel, frames)
    unserved(client)
    assert client.evaluate("counter") == 1


def test_d_replay_of_another_clients_message_is_dropped(client: Client, shared_kernel: Kernel) -> None:
    frames = frames_of(client, "stolen = globals().get('stolen', 0) + 1")
    msg_id = json.loads(frames[2])["msg_id"]
    client.channels_of[msg_id] = "shell"
    client.send_frames("shell", frames)
    client.collect(msg_id)
    thief = shared_kernel.client()
    thief.send_frames("shell", frames)
    unserved(thief)
    assert client.evaluate("stolen") == 1


def test_d_reflection_is_dropped(client: Client) -> None:
    """What the kernel signed itself is no request, whichever channel it comes back on."""
    result = client.run("print('x'); display(1); 2")
    client.request("kernel_info_request")
    reflected = 0
    for message in [result.busy, *result.messages, result.reply, result.idle]:
        at = message.frames.index(DELIMITER)
        for channel in ("shell", "control", "stdin"):
            client.send_frames(channel, message.frames[at:])
            reflected += 1
    assert reflected >= 18
    unserved(client)


def test_d_reflection_of_the_session_is_dropped(client: Client) -> None:
    """A request under the kernel's own session id, whoever signed it."""
    session = client.ok("1").reply.header["session"]
    client.send("execute_request", {"code": "print('reflected')"}, header={"session": session})
    unserved(client)


# -- signatures that are right  ---


@pytest.mark.parametrize("scheme", ["hmac-sha256", "hmac-sha384", "hmac-sha512"])
def test_d_signature_schemes(launch: Launch, scheme: str) -> None:
    assert launch(signature_scheme=scheme).client().ok("1").text == "1"


def test_d_long_and_odd_keys(launch: Launch) -> None:
    assert launch(key="ключ " * 100).client().ok("1").text == "1"


def test_d_empty_key_on_ipc_means_unsigned(launch: Launch) -> None:
    client = launch(key="").client()
    result = client.ok("1")
    assert result.text == "1"
    assert result.reply.frames[result.reply.frames.index(DELIMITER) + 1] == b""


def test_d_empty_key_on_tcp_with_leave(launch: Launch) -> None:
    assert launch(key="", transport="tcp", args=["--allow-unsigned"]).client().ok("1").text == "1"


# -- frames ---


def test_d_identities_come_back_all(client: Client) -> None:
    identities = [b"one", b"\x00\xff two", b"three"]
    result = client.request("kernel_info_request", identities=identities)
    assert result.reply.identities == identities
    result = client.collect(client.send("execute_request", {"code": "5"}, identities=identities))
    assert result.reply.identities == identities


def test_d_buffers_after_content_are_tolerated(client: Client) -> None:
    assert client.request("execute_request", {"code": "1"}, buffers=[b"", b"\xff" * 1000]).text == "1"


def test_d_limits_refuse_too_many_buffers(client: Client) -> None:
    """Dropped, because its shape is beyond the limits; nothing after it is hurt."""
    client.send("kernel_info_request", buffers=[b"x"] * 65_537)
    unserved(client)


# -- headers ---


def test_d_header_of_the_kernel(client: Client) -> None:
    result = client.ok("1")
    headers = [result.busy.header, result.reply.header, result.idle.header, *[m.header for m in result.messages]]
    assert len({header["msg_id"] for header in headers}) == len(headers)
    assert len({header["session"] for header in headers}) == 1
    assert headers[0]["session"] != client.session
    assert len({header["username"] for header in headers}) == 1
    assert len({header["version"] for header in headers}) == 1 and headers[0]["version"].startswith("5.")


def test_d_header_session_is_new_in_each_process(launch: Launch) -> None:
    sessions = {launch().client().request("kernel_info_request").reply.header["session"] for _ in range(2)}
    assert len(sessions) == 2


def test_d_header_username_comes_from_the_environment(launch: Launch) -> None:
    client = launch(env={"USER": "élève"}).client()
    result = client.ok("1")
    assert result.reply.header["username"] == "élève" == result.one("execute_result").header["username"]


@pytest.mark.parametrize("missing", ["date", "username", "version", "session"])
def test_d_header_without_optional_fields_is_served(client: Client, missing: str) -> None:
    header = client.header("execute_request")
    del header[missing]
    client.all_sessions = True
    client.channels_of[header["msg_id"]] = "shell"
    client.send_frames("shell", client.frames(header, {"code": "1"}))
    assert client.collect(header["msg_id"]).text == "1"


def test_d_parent_header_is_echoed_with_everything_in_it(client: Client) -> None:
    extra = {
        "subshell_id": None,
        "custom": {"nested": [1, 2.5, None, "é𝄞"], "big": 12345678901234567890123},
        "date": "2020-01-02T03:04:05.000001+00:00",
        "username": 'quo"te\\ \u0001',
    }
    header = client.header("execute_request", **extra)
    client.channels_of[header["msg_id"]] = "shell"
    client.send_frames("shell", client.frames(header, {"code": "print(1); display(2); 3"}))
    result = client.collect(header["msg_id"])
    for message in [result.busy, *result.messages, result.reply, result.idle]:
        assert message.parent == header


@pytest.mark.parametrize(
    "header",
    [
        {"msg_id": "a b/c\n\u2028é" + "x" * 300},
        {"version": "4.0"},
        {"date": "yesterday", "username": None, "version": 5},
    ],
    ids=["odd id", "old version", "odd types"],
)
def test_d_header_oddities_are_served(client: Client, header: Content) -> None:
    assert client.collect(client.send("execute_request", {"code": "1"}, header=header)).text == "1"


# -- JSON ---

NUMBERS = [
    "0",
    "-0",
    "1.5",
    "1e3",
    "-7",
    "9007199254740993",
    "123456789012345678901234567890",
    "1e400",
    "-1e400",
    "1e-400",
]


@pytest.mark.parametrize("number", NUMBERS)
def test_d_numbers_of_any_size_come_in(client: Client, number: str) -> None:
    content = f'{{"code": "1", "extra": {number}, "list": [{number}]}}'.encode()
    assert client.collect(client.send("execute_request", content)).text == "1"


def test_d_numbers_of_any_size_come_in_by_header(client: Client) -> None:
    result = client.collect(client.send("execute_request", {"code": "1"}, header={"n": 10**40}))
    assert result.text == "1" and result.reply.parent["n"] == 10**40


def test_d_nul_and_escapes_come_in(client: Client) -> None:
    content = b'{"code": "x = \'a\\u0009\\ud834\\udd1e\'; x", "\\u0000": "\\u0000"}'
    assert client.collect(client.send("execute_request", content)).text == "'a\\t𝄞'"


def test_d_duplicate_keys_last_wins(client: Client) -> None:
    assert client.collect(client.send("execute_request", b'{"code": "1", "code": "2"}')).text == "2"


BAD_JSON = {
    "not json": b"nonsense",
    "empty": b"",
    "array": b"[]",
    "null": b"null",
    "string": b'"x"',
    "number": b"5",
    "two objects": b"{}{}",
    "open": b'{"code": "1"',
    "not utf-8": b'{"code": "\xff\xfe"}',
    "deep": b'{"code": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    "deeper": b'{"a":' * 200_000 + b"1" + b"}" * 200_000,
    "lone surrogate": b'{"code": "\\ud800"}',
}


@pytest.mark.parametrize("name", BAD_JSON)
@pytest.mark.parametrize("msg_type", ["execute_request", "inspect_request"])
def test_d_content_that_is_no_object_gets_an_answer(client: Client, msg_type: str, name: str) -> None:
    """The header is readable, so there is somebody to answer: busy, one reply, idle."""
    result = client.collect(client.send(msg_type, BAD_JSON[name]))
    if name == "lone surrogate" and msg_type == "execute_request":
        assert result.error["ename"] == "UnicodeEncodeError"
    elif name != "lone surrogate":
        assert result.status == "error" and result.content["ename"] and "evalue" in result.content
    assert client.ok("1").text == "1"


@pytest.mark.parametrize("name", ["not json", "empty", "array", "not utf-8", "deeper", "two objects"])
def test_d_header_that_is_no_object_is_dropped(client: Client, name: str) -> None:
    client.send_frames("shell", client.frames(BAD_JSON[name], {"code": "print(1)"}))
    unserved(client)


@pytest.mark.parametrize("header", [{}, {"msg_id": "x"}, {"msg_type": "execute_request"}, {"msg_id": 5, "msg_type": 6}])
def test_d_header_without_id_or_type_is_dropped(client: Client, header: Content) -> None:
    client.send_frames("shell", client.frames(header, {"code": "print(1)"}))
    unserved(client)


REFUSED = {
    "NaN": b"NaN",
    "too large": b"1e999",
    "lone surrogate": b'"\\ud83d"',
    "NUL in a key": b'{"a\\u0000": 1}',
    "deep": b"[" * 200 + b"]" * 200,
}


def with_username(client: Client, text: bytes) -> bytes:
    """A header that asks for a cell to run, its username being this JSON text."""
    header = client.header("execute_request", username="USERNAME")
    return encode(header).replace(b'"USERNAME"', text)


def test_d_header_that_jansson_refuses_is_dropped_and_counted(launch: Launch) -> None:
    """Nothing else reads the header: no second reader may take out of it what the first did not."""
    kernel = launch()
    client = kernel.client()
    for text in REFUSED.values():
        client.send_frames("shell", client.frames(with_username(client, text), {"code": "print('executed')"}))
    unserved(client)
    lines = [line for line in kernel.output().splitlines() if "event=dropped channel=shell" in line]
    assert [f"count={n + 1} " in line for n, line in enumerate(lines)] == [True] * len(REFUSED)


@pytest.mark.parametrize("text", [b'"\\u0000"', b"1" * 300, b"-1e308", b'"\\ud83d\\ude00"', b'{"username": []}'])
def test_d_header_that_jansson_reads_is_served(client: Client, text: bytes) -> None:
    header = with_username(client, text)
    msg_id = json.loads(header)["msg_id"]
    client.channels_of[msg_id] = "shell"
    client.send_frames("shell", client.frames(header, {"code": "1+1"}))
    assert client.collect(msg_id).status == "ok"


@pytest.mark.parametrize("part", ["parent", "metadata"])
@pytest.mark.parametrize("value", [b"null", b"[]", b"", b"x"])
def test_d_metadata_or_parent_that_is_no_object_gets_an_answer(client: Client, part: str, value: bytes) -> None:
    parts: dict[str, Any] = {part: value}
    msg_id = client.send("execute_request", {"code": "1"}, **parts)
    assert client.collect(msg_id).status in ("ok", "error")
    assert client.ok("1").text == "1"


# -- values that go out ---

CODE = """
import datetime, enum, fractions
class Odd:
    def _repr_mimebundle_(self, **kwargs):
        return {'text/plain': 'odd', 'application/x-test+json': VALUE}
Odd()
"""


def out(client: Client, expression: str) -> Any:
    """The value as it arrives as application/x-test+json."""
    return client.ok(CODE.replace("VALUE", expression)).data["application/x-test+json"]


def test_d_out_not_a_number(client: Client) -> None:
    """Never bare NaN (parse() would refuse it)."""
    assert client.ok(CODE.replace("VALUE", "{'x': [float('nan'), float('inf'), -float('inf'), 1.5]}")).data
    values = out(client, "[float('nan'), 1.5]")
    assert values[0] in (None, "nan", "NaN") and values[1] == 1.5


def test_d_out_dates_bytes_iterables(client: Client) -> None:
    assert out(client, "{'d': datetime.date(2020, 1, 2)}") == {"d": "2020-01-02"}
    assert out(client, "datetime.datetime(2020, 1, 2, tzinfo=datetime.timezone.utc)").startswith("2020-01-02T00:00:00")
    assert out(client, "{'b': b'abc'}") == {"b": "YWJj"}
    assert out(client, "{'t': (1, 2), 'r': range(3)}") == {"t": [1, 2], "r": [0, 1, 2]}
    assert out(client, "{1: 'a', 2.5: 'b'}") == {"1": "a", "2.5": "b"}


def test_d_out_numpy_scalars(client: Client) -> None:
    expression = "{'i': __import__('numpy').int64(3), 'f': __import__('numpy').float32(0.5)}"
    assert out(client, expression) == {"i": 3, "f": 0.5}


def test_d_out_large_integers(client: Client) -> None:
    assert out(client, "{'big': 2 ** 70, 'neg': -2 ** 70, 'bool': True}") == {
        "big": 2**70,
        "neg": -(2**70),
        "bool": True,
    }


def test_d_out_nul_and_separators(client: Client) -> None:
    assert client.ok(r"print('a\0b\u2028c\x1b[0m')").stdout == "a\0b\u2028c\x1b[0m\n"


@pytest.mark.parametrize("text", [r"\ud800", r"\udc80", r"a\udfffb", r"\ud83d \ude00"])
def test_d_out_lone_surrogates_are_not_lost(client: Client, text: str) -> None:
    """BUG in ipykernel: the output is lost, and a traceback of its own lands in the cell."""
    result = client.ok(f"print('before {text} after')\ndisplay({{'text/plain': '{text}'}}, raw=True)\n'x{text}'")
    assert result.types() == ["execute_input", "stdout", "display_data", "execute_result"]
    assert result.stdout.startswith("before ") and result.stdout.endswith(" after\n")


def test_d_out_all_code_points(client: Client) -> None:
    """Every character arrives; surrogates as something."""
    result = client.ok("print(''.join(map(chr, range(0x110000))), end='')", deadline=30)
    expected = [chr(n) for n in range(0x110000)]
    assert len(result.stdout) >= 0x110000 - 2048
    assert result.stdout.startswith("".join(expected[:0xD800]))
    assert result.stdout.endswith("".join(expected[0xE000:]))


def test_d_out_deep_and_circular_data(client: Client) -> None:
    """Reported, not fatal."""
    deep = "deep = []\nfor _ in range(100000): deep = [deep]\n"
    for code in (
        deep + "display({'application/json': deep}, raw=True)",
        "x = []; x.append(x); display({'a/b': x}, raw=True)",
    ):
        result = client.run(code)
        assert result.status in ("ok", "error")
        assert client.ok("1").text == "1"


def test_d_out_data_that_json_cannot_carry(client: Client) -> None:
    """A set of objects somewhere in a bundle must not lose the reply."""
    assert client.run("display({'application/json': object()}, raw=True)").content["ename"] == "TypeError"
    assert client.ok("1").text == "1"


def test_d_sessions_are_uuids(client: Client) -> None:
    session = client.ok("1").reply.header["session"]
    assert uuid.UUID(session)
