# SPDX-License-Identifier: BSD-3-Clause
"""spec D: from Python objects to JSON bytes."""

import json
from collections import OrderedDict, UserDict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from pupitre import jsonout
from pupitre.jsonout import DEPTH_MAX, encode, now


@pytest.fixture(params=["orjson", "json"], autouse=True)
def encoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Everything here is true with and without orjson."""
    assert jsonout._fast is not None
    if request.param == "json":
        monkeypatch.setattr(jsonout, "_fast", None)
    yield request.param


@dataclass
class Point:
    x: int
    _hidden: int = 2


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": [1, 2.5, None, True, "é😀"]}, {"a": [1, 2.5, None, True, "é😀"]}),
        ({"n": float("nan"), "i": [float("inf"), -float("inf")]}, {"n": None, "i": [None, None]}),
        ({"s": "\ud800x", "t": "\udc80"}, {"s": "\ud800x", "t": "\udc80"}),
        ({"\ud800": 1}, {"\ud800": 1}),
        ({"z": "\0"}, {"z": "\0"}),
        ({"big": 2**200}, {"big": 2**200}),
        ({"b": b"\xff\x00", "m": memoryview(b"ab"), "a": bytearray(b"c")}, {"b": "/wA=", "m": "YWI=", "a": "Yw=="}),
        ({1: "a", 2.5: "b", False: "c", None: "d"}, {"1": "a", "2.5": "b", "false": "c", "null": "d"}),
        ({(1, 2): "t"}, {"(1, 2)": "t"}),
        ({"d": date(2024, 1, 2), "n": datetime(2024, 1, 2, 3)}, {"d": "2024-01-02", "n": "2024-01-02T03:00:00Z"}),
        ({"u": datetime(2024, 1, 2, 3, 4, 5, 6, tzinfo=UTC)}, {"u": "2024-01-02T03:04:05.000006Z"}),
        (
            {"o": datetime(2024, 1, 2, 3, tzinfo=timezone(timedelta(hours=2))), "t": time(1, 2)},
            {"o": "2024-01-02T03:00:00+02:00", "t": "01:02:00"},
        ),
        ({"p": Point(1)}, {"p": {"x": 1}}),
        (
            {"s": {3}, "q": deque([1]), "r": range(2)},
            {"s": [3], "q": [1], "r": [0, 1]},
        ),
        ({"f": Fraction(1, 2), "o": OrderedDict(a=1), "x": UserDict(a=1)}, {"f": 0.5, "o": {"a": 1}, "x": {"a": 1}}),
        ({"t": (1, (2,))}, {"t": [1, [2]]}),
    ],
)
def test_values(value: Any, expected: Any) -> None:
    assert json.loads(encode(value)) == expected


def test_generators() -> None:
    assert json.loads(encode({"g": (i for i in range(2))})) == {"g": [0, 1]}


def test_numpy_scalars() -> None:
    import numpy

    value = {
        "i": numpy.int64(1),
        "f": numpy.float32(0.5),
        "b": numpy.bool_(True),
        "a": numpy.arange(2),
        "z": numpy.array(3),
        "n": numpy.float64("nan"),
    }
    assert json.loads(encode(value)) == {"i": 1, "f": 0.5, "b": True, "a": [0, 1], "z": 3, "n": None}
    assert json.loads(encode({numpy.int64(7): 1})) == {"7": 1}


def test_never_bare_nan() -> None:
    assert b"NaN" not in encode({"a": [float("nan")] * 3, "b": {"c": float("inf")}})


@pytest.mark.parametrize("value", [object(), {"a": object()}, {"a": Decimal("1"), "b": [lambda: 0]}])
def test_no_data_at_all(value: Any) -> None:
    with pytest.raises(TypeError):
        encode(value)


def nested(depth: int, kind: str) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"a": value} if kind == "dict" else [value]
    return value


@pytest.mark.parametrize("kind", ["dict", "list"])
def test_depth(kind: str) -> None:
    assert encode(nested(DEPTH_MAX, kind))
    for depth in (DEPTH_MAX + 1, 900, 100_000):
        with pytest.raises(ValueError, match="nested"):
            encode(nested(depth, kind))


def test_cycles() -> None:
    loop: dict[str, Any] = {}
    loop["x"] = [loop]
    with pytest.raises(ValueError):
        encode(loop)
    loop["n"] = float("nan")
    with pytest.raises(ValueError):
        encode(loop)


def test_the_same_object_twice_is_no_cycle() -> None:
    item = [float("nan")]
    assert json.loads(encode({"a": item, "b": item})) == {"a": [None], "b": [None]}


def test_colliding_keys() -> None:
    with pytest.raises(ValueError, match="two keys"):
        encode({(1,): 1, "(1,)": 2})


def test_many_brackets_are_not_depth() -> None:
    assert encode({"text": "[" * 10_000, "rows": [[i] for i in range(1000)]})


def test_now() -> None:
    moment = datetime.fromisoformat(now())
    assert moment.tzinfo is not None and abs(datetime.now(UTC) - moment) < timedelta(seconds=5) and len(now()) == 27
