# SPDX-License-Identifier: BSD-3-Clause
"""From Python objects to the JSON bytes of a message part.

Libraries put anything into messages: numpy integers in metadata, datetimes, bytes, NaN, half an emoji. The fast path is
orjson (80 times faster on a large display); what it refuses (integers above 64 bits, lone surrogates, keys that are no
strings) goes through the standard library, and what that refuses is cleaned and encoded again. Never raises
RecursionError or crashes: cycles and more than DEPTH_MAX levels are a ValueError.

Where the orjson that is found is not the one that was installed with us (PYTHONPATH, ~/.local, another version, a
student's file of that name), everything goes through the standard library.
"""

from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import date, datetime, time, timezone
from functools import partial
from json import JSONEncoder
from json.encoder import encode_basestring as _quote
from math import isfinite
from numbers import Integral, Real
from typing import Any

DEPTH_MAX = 256  # levels of containers; clients' parsers and the protocol's users stay far below

_CONTAINERS = (dict, list, tuple)
_UTC = timezone.utc  # noqa: UP017 - datetime.UTC is the same object


def now() -> str:
    """The present time as message headers have it: ISO 8601 in UTC with microseconds and Z."""
    return datetime.now(_UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def _convert(value: Any) -> Any:
    """JSONEncoder's `default`: what is not JSON becomes something that is."""
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=_UTC)).isoformat().replace("+00:00", "Z")
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return b64encode(value).decode("ascii")
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        number = float(value)
        return number if isfinite(number) else None
    if isinstance(value, Mapping):
        return dict(value)
    item = getattr(value, "item", None)  # zero-dimensional arrays, numpy.bool_
    if item is not None and getattr(value, "ndim", None) == 0:
        return item()
    if isinstance(value, Iterable):
        return list(value)
    fields = getattr(type(value), "__dataclass_fields__", None)
    if fields is not None:
        return {name: getattr(value, name) for name in fields if not name.startswith("_")}
    raise TypeError(f"{type(value).__name__!r} cannot be written as JSON: {value!r:.200}")


def _find_fast() -> Callable[[Any], bytes] | None:
    """orjson, if it does what we know of it. It may be anybody's, and raise anything."""
    try:
        from orjson import OPT_NAIVE_UTC, OPT_UTC_Z, dumps

        fast = partial(dumps, default=_convert, option=OPT_NAIVE_UTC | OPT_UTC_Z)
        trial = fast({"text": "é\n", "list": [1, 2.5, None, True], "moment": datetime(2000, 1, 1), "bytes": b"x"})
    except BaseException:
        return None
    right = '{"text":"é\\n","list":[1,2.5,null,true],"moment":"2000-01-01T00:00:00Z","bytes":"eA=="}'
    return fast if trial == right.encode() else None


_fast = _find_fast()


class _Encoder(JSONEncoder):
    """With methods of its own, so that messages do not depend on what user code puts into JSONEncoder."""

    encode, iterencode = JSONEncoder.encode, JSONEncoder.iterencode


_encode = _Encoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_convert).encode


def _key(key: Any) -> str:
    if isinstance(key, str):
        return key
    if key is True or key is False or key is None:
        return {True: "true", False: "false", None: "null"}[key]
    return str(key)


def _clean(value: Any, above: tuple[int, ...] = ()) -> Any:
    """A copy of `value` of plain JSON types: NaN and infinities become None, keys become strings."""
    if isinstance(value, float):
        return float(value) if isfinite(value) else None
    if isinstance(value, (str, bool, int)) or value is None:
        return value
    if id(value) in above or len(above) >= DEPTH_MAX:
        raise ValueError("a message may not contain itself" if id(value) in above else _too_deep())
    inside = (*above, id(value))
    if isinstance(value, dict):
        cleaned: dict[str, Any] = {}
        for key, item in value.items():
            text = _key(key)
            if text in cleaned:
                raise ValueError(f"two keys become {text!r} in JSON")
            cleaned[text] = _clean(item, inside)
        return cleaned
    if isinstance(value, (list, tuple)):
        return [_clean(item, inside) for item in value]
    return _clean(_convert(value), inside)


def _too_deep() -> str:
    return f"a message may not be nested deeper than {DEPTH_MAX} levels"


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(DEPTH_MAX):
        level = [
            item
            for container in level
            for item in (container.values() if isinstance(container, dict) else container)
            if isinstance(item, _CONTAINERS)
        ]
        if not level:
            return
    raise ValueError(_too_deep())


def encode_text(text: str) -> bytes:
    """`text` as a JSON string."""
    return _to_bytes(_quote(text))


def _to_bytes(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        # Surrogates stand only inside JSON strings, where \udXXX is their legal spelling.
        return text.encode("utf-8", "backslashreplace")


def encode(value: Any) -> bytes:
    """`value`, a dict nearly always, as UTF-8 JSON. What is bytes already is passed through.

    NaN and infinities become null, lone surrogates are escaped, datetimes, bytes, numpy scalars and iterables
    converted. ValueError for cycles, excessive depth and colliding keys; TypeError for what is no data at all.
    """
    if type(value) is bytes:
        return value
    if _fast is not None:
        try:
            return _fast(value)
        except (TypeError, RecursionError):
            pass
    text = None
    with suppress(TypeError, ValueError, RecursionError):
        text = _encode(value)
    if text is None:  # outside of the handler: what goes wrong now is one error, not two
        text = _encode(_clean(value))
    if text.count("[") + text.count("{") > DEPTH_MAX and isinstance(value, _CONTAINERS):
        _check_depth(value)
    return _to_bytes(text)
