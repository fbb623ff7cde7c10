# SPDX-License-Identifier: BSD-3-Clause
"""Runs in a kernel, as a cell: `search(kram, dip)` finds every text in this process's memory that has a mark in it,
every descriptor that leads to one, and the number of the template's process in what the garbage collector reaches.

Mark and number come backwards, so that a search does not find itself. The answer is JSON: a list of [place, text]. A
place is who holds it, from the inside out up to a module; for what the collector does not reach, its mapping.
"""


def search(kram, dip):
    import gc
    import os

    from pupitre.nursery import folders

    needles = tuple(kram[::-1].encode(code) for code in ("ascii", "utf-16-le", "utf-32-le"))
    addresses = _addresses(needles)
    gc.unfreeze()
    seen = _Seen(kram[::-1], dip[::-1])
    held = [(seen.holders(*each), _plain(each[0])) for each in seen.found]
    found = [[" < ".join(path), text] for path, text in held if path]
    found += [[place, text] for place, text in _strings() if kram[::-1] in text]
    own = [*needles, folders._home, *(text for text, _ in seen.found if not isinstance(text, int))]
    spans = sorted((id(each), id(each) + each.__sizeof__()) for each in own)
    with open("/proc/self/mem", "rb", 0) as memory:
        found += [[place, _context(memory, at)] for at, place in addresses if not _is_in(at, spans)]
    for number in os.listdir("/proc/self/fd"):
        path = f"/proc/self/fd/{number}"
        target = os.readlink(path) if os.path.islink(path) else ""
        if kram[::-1] in target:
            found.append([f"descriptor {number}", target])
    return found


def _plain(value):
    return bytes(value).decode("latin-1") if isinstance(value, bytes | bytearray) else str(value)


# -- memory ---


def _mappings():
    """(begin, end, name) of memory that was written to, or that may be."""
    found, last = [], ""
    with open("/proc/self/maps") as file:
        for line in file:
            place, rights, _, _, _, *rest = line.split(maxsplit=5)
            begin, end = (int(number, 16) for number in place.split("-"))
            name = rest[0].strip() if rest else ""
            is_library = name.startswith("/") and "memfd" not in name
            last = name if is_library else last
            if rights[0] == "r" and not name.startswith("[v") and ("w" in rights or not is_library):
                found.append((begin, end, name or f"memory after {last}"))
    return found


def _addresses(needles):
    """(address, its mapping and place in it) of each needle. It reads into memory that it does not read."""
    import mmap
    import os

    size, overlap = 16 << 20, 256
    mappings = _mappings()
    window = mmap.mmap(-1, size)
    view = memoryview(window)
    memory = os.open("/proc/self/mem", os.O_RDONLY)
    found = set()
    for begin, end, name in mappings:
        for start in range(begin, end, size - overlap):
            try:
                got = os.preadv(memory, [view[: min(size, end - start)]], start)
            except OSError:
                continue
            for needle in needles:
                at = window.find(needle, 0, got)
                while at >= 0:
                    found.add((start + at, f"{name}+{start + at - begin:x}"))
                    at = window.find(needle, at + 1, got)
    os.close(memory)
    view.release()
    window.close()
    return sorted(found)


def _context(memory, address):
    """The text around an address, as far as it is one."""
    memory.seek(address - 128)
    before, after = memory.read(128), memory.read(384)
    if after[1:2] == b"\0":
        return after.replace(b"\0", b"").decode("latin-1")[:80]
    return (before.rpartition(b"\0")[2] + after.partition(b"\0")[0]).decode("latin-1")


def _strings():
    """What the C library tells of the process."""
    import ctypes

    libc = ctypes.CDLL(None)
    libc.setlocale.restype = ctypes.c_char_p
    found = [(f"locale {number}", libc.setlocale(number, None)) for number in range(13)]
    for name in ("program_invocation_name", "program_invocation_short_name"):
        found.append((name, ctypes.c_char_p.in_dll(libc, name).value))
    names = (ctypes.c_char_p * 2).in_dll(libc, "tzname")
    found += [(f"tzname {number}", name) for number, name in enumerate(names)]
    variables = ctypes.POINTER(ctypes.c_char_p).in_dll(libc, "environ")
    number = 0
    while variables[number] is not None:
        found.append((f"environ {number}", variables[number]))
        number += 1
    return [(place, (text or b"").decode("latin-1")) for place, text in found]


def _is_in(address, spans):
    from bisect import bisect_right

    at = bisect_right(spans, (address, 1 << 64)) - 1
    return at >= 0 and spans[at][0] <= address < spans[at][1]


# -- objects ---


class _Seen:
    """All that the collector reaches. `found`: (what has a mark or is the number, who has it)."""

    def __init__(self, mark, digits):
        import gc
        from itertools import chain

        from pupitre.nursery import folders

        self.mark, self.raw, self.digits, self.number = mark, mark.encode(), digits, int(digits)
        self.found, self.parents, self.done = [], {}, set()
        self.own = {id(each) for each in (mark, self.raw, digits, self.found, self.parents, self.done, vars(self))}
        # What a worker looks for to renew it.
        self.own.add(id(folders._home))
        self.renewal = set(map(id, chain((folders._kept, folders._bases), folders._kept, folders._bases)))
        waiting = gc.get_objects()
        self.own.add(id(waiting))
        tracked = {id(each) for each in waiting}
        while waiting:
            each = waiting.pop()
            if id(each) not in self.own:
                waiting += [
                    other for other in self.referents(each) if id(other) not in tracked and self.is_more(other, each)
                ]

    @staticmethod
    def referents(each):
        """Of a code object, too, which the collector does not know."""
        import gc
        import types

        if isinstance(each, types.CodeType):
            return [each.co_consts, each.co_filename, each.co_names, each.co_name]
        return gc.get_referents(each)

    def is_more(self, value, owner):
        """Look at it, who is not known to the collector by itself; whether it may have referents."""
        import types

        kind = type(value)
        if kind is int:
            if value == self.number and value is not self.number:
                self.found.append((value, owner))
            return False
        if kind in (float, bool, complex, type(None)) or id(value) in self.done or id(value) in self.own:
            return False
        self.done.add(id(value))
        if isinstance(value, str | bytes | bytearray):
            if self.has_mark(value):
                self.found.append((value, owner))
            return False
        self.parents[id(value)] = owner
        return kind in (tuple, dict, types.CodeType) or hasattr(kind, "__dict__")

    def has_mark(self, value):
        if not isinstance(value, str):
            return self.raw in value
        if self.mark in value:
            return True
        if self.digits not in value or len(value) > 255:  # a document
            return False
        before, _, after = value.partition(self.digits)
        return not (before[-1:].isdigit() or before[-1:] == "." or after[:1].isdigit() or after[:1] == ".")

    def holders(self, value, owner, depth=9):
        """Who holds it, from the inside out, up to a module, class or function. None: the search, or the renewal."""
        import gc
        import sys
        import types

        modules = {
            id(vars(each)): name for name, each in list(sys.modules.items()) if isinstance(each, types.ModuleType)
        }
        past = {*self.own, *self.renewal, *map(id, self.found)}
        path = []
        past.add(id(path))
        is_ours = id(owner) in self.renewal
        owner = owner if isinstance(value, int) else self.owner(value, past, modules, owner)
        while owner is not None and len(path) < depth:
            name = modules.get(id(owner))
            path.append(self.name(owner, value, name))
            if name or isinstance(owner, type | types.FunctionType):
                return path
            past.add(id(owner))
            value = owner
            owner = self.owner(value, past, modules, self.parents.get(id(value)))
        is_ours = (is_ours and not path) or any(id(each) in self.renewal for each in gc.get_referrers(value))
        return None if is_ours else [*path, "nobody"]

    @staticmethod
    def owner(value, past, modules, known):
        """A module if there is one; `known`: who it is if the collector does not know."""
        import gc
        import types

        owners = gc.get_referrers(value)
        past.add(id(owners))
        owners = [each for each in owners if id(each) not in past and not isinstance(each, types.FrameType)]
        past.add(id(owners))
        known = None if id(known) in past else known
        return next((each for each in owners if id(each) in modules), owners[0] if owners else known)

    @staticmethod
    def name(owner, value, module):
        if isinstance(owner, dict):
            key = next((str(key)[:60] for key, each in list(owner.items()) if each is value), "a key")
            return f"{module}.{key}" if module else f"[{key}]"
        return f"{type(owner).__name__} {getattr(owner, '__qualname__', '')}".strip()
