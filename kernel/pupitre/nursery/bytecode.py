# SPDX-License-Identifier: BSD-3-Clause
"""What bytecode looks like in memory, as far as the library's disassembler knows; its names may change."""

_UNKNOWN = 255
_REWRITTEN = ("INSTRUMENTED_", "ENTER_EXECUTOR", "RESERVED")  # what such an instruction was is kept elsewhere


def layout() -> bytes:
    """Of each opcode how many entries the cache behind the instruction has, 256 bytes, 255: not known; and which of
    them counts how often the instruction ran, 256 bytes more, 255: none. Raises ImportError.
    """
    from dis import _all_opmap, deoptmap  # type: ignore[attr-defined]
    from opcode import _cache_format  # type: ignore[attr-defined]

    made = bytearray([_UNKNOWN] * 512)
    for name, opcode in _all_opmap.items():
        cache: dict[str, int] = _cache_format.get(deoptmap.get(name, name), {})
        if opcode < 256 and not name.startswith(_REWRITTEN):
            made[opcode] = sum(cache.values())
            made[256 + opcode] = _place_of("counter", cache)
    return bytes(made)


def _place_of(name: str, cache: dict[str, int]) -> int:
    """How many entries come before the one of this name."""
    names = list(cache)
    return sum(cache[one] for one in names[: names.index(name)]) if name in cache else _UNKNOWN
