# SPDX-License-Identifier: BSD-3-Clause
"""What must hold in a child of a template, whatever was done to the template's heap.

Each function runs in a forked child of its own; `made` is what the template made beforehand.
"""

import contextlib
import copy
import ctypes
import gc
import importlib
import io
import json
import mmap
import os
import pickle
import re
import struct
import subprocess
import sys
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Check = Callable[["Made"], None]
CHECKS: dict[str, Check] = {}
MIB = 1 << 20


# An addition of lists is never specialised, so each of them counts for ever.
COUNTING = "def counting_{0}(x):\n    return x" + " + x" * 120 + "\n"


class Node:
    """With a finaliser: of the template's, none may become immortal."""

    ended: list[str] = []  # noqa: RUF012

    def __init__(self, name: str) -> None:
        self.name = name
        self.other: Node | None = None

    def __del__(self) -> None:
        Node.ended.append(self.name)


class Plain:
    value = 1


def suspended(log: list[str]) -> Iterator[int]:
    try:
        yield 1
    finally:
        log.append("ended")


class Made:
    """The template's own objects."""

    def __init__(self) -> None:
        import numpy
        import pandas

        self.noted = False  # where bytecode counts
        self.node = Node("template")
        self.plain = Plain()
        self.numbers = list(range(100_000))
        self.table = {str(i): i for i in range(20_000)}
        self.lists: list[list[object]] = [[] for _ in range(3)]
        self.mappings: list[dict[str, object]] = [{} for _ in range(3)]
        self.sets: list[set[object]] = [set() for _ in range(3)]
        self.buffer = bytearray(b"pupitre " * 40_000)
        self.array = numpy.arange(200_000.0)
        self.arrays = [numpy.arange(5000.0) for _ in range(40)]  # each small enough for the heap proper
        self.frame = pandas.DataFrame({"a": range(1000), "b": ["x", "y"] * 500})
        self.weak: weakref.WeakValueDictionary[str, Plain] = weakref.WeakValueDictionary(plain=self.plain)
        names: dict[str, Callable[[list[int]], list[int]]] = {}
        exec("".join(COUNTING.format(i) for i in range(600)), names)
        self.counting = [names[f"counting_{i}"] for i in range(600)]
        for _ in range(40):
            for function in self.counting:
                function([])
        self.log: list[str] = []
        self.generator = suspended(self.log)
        next(self.generator)
        read, self.write_end = os.pipe()
        self.file = os.fdopen(read, "rb")


def check(function: Check) -> Check:
    CHECKS[function.__name__] = function
    return function


@check
def new_objects_die(made: Made) -> None:
    gone: list[object] = []
    thing = Plain()
    watch = weakref.ref(thing, gone.append)
    del thing
    assert gone == [watch]
    node = Node("child")
    Node.ended.clear()
    del node
    assert Node.ended == ["child"]


@check
def new_cycles_are_collected(made: Made) -> None:
    one, two = Node("one"), Node("two")
    one.other, two.other = two, one
    watch = weakref.ref(one)
    Node.ended.clear()
    del one, two
    gc.collect()
    assert sorted(Node.ended) == ["one", "two"]
    assert watch() is None


@check
def finalisers_of_the_template_run(made: Made) -> None:
    Node.ended.clear()
    made.node = Node("new")
    assert Node.ended == ["template"]


@check
def generators_of_the_template_end(made: Made) -> None:
    made.generator = iter(())
    assert made.log == ["ended"]


@check
def files_of_the_template_close(made: Made) -> None:
    number = made.file.fileno()
    made.file = io.BytesIO()
    with contextlib.suppress(OSError):
        os.fstat(number)
        raise AssertionError("still open")


@check
def weak_references_hold(made: Made) -> None:
    assert made.weak["plain"] is made.plain
    fresh = Plain()
    made.weak["fresh"] = fresh
    assert set(made.weak) == {"plain", "fresh"}
    del fresh
    assert set(made.weak) == {"plain"}


@check
def what_was_empty_lets_go(made: Made) -> None:
    """A list that waits in the template, is filled here and replaced."""
    things = [Plain() for _ in range(3)]
    watches = [weakref.ref(thing) for thing in things]
    made.lists[1].append(things[0])
    made.mappings[1]["thing"] = things[1]
    made.sets[1].add(things[2])
    things.clear()
    assert [watch() is None for watch in watches] == [False] * 3
    made.lists[1], made.mappings[1], made.sets[1] = [], {}, set()
    assert [watch() is None for watch in watches] == [True] * 3


@check
def templates_objects_change(made: Made) -> None:
    made.numbers.reverse()
    made.numbers.extend(range(1_000_000))
    assert made.numbers[0] == 99_999 and made.numbers[100_000:100_003] == [0, 1, 2] and len(made.numbers) == 1_100_000
    made.table.update((str(i), -i) for i in range(10_000, 200_000))
    assert len(made.table) == 200_000 and made.table["9999"] == 9999 and made.table["10000"] == -10_000
    Plain.value = 2
    assert made.plain.value == 2
    Plain.method = lambda self: 7  # type: ignore[attr-defined]
    assert made.plain.method() == 7  # type: ignore[attr-defined]
    made.array[:] = 1
    assert made.array.sum() == 200_000
    made.frame["c"] = made.frame.a * 2
    assert made.frame.c.sum() == 999_000


@check
def large_blocks_of_the_template_grow(made: Made) -> None:
    """By realloc, which moves mappings."""
    for _ in range(8):
        made.buffer.extend(bytes(range(256)) * (len(made.buffer) // 256))
    assert len(made.buffer) > 64 * MIB
    assert made.buffer.startswith(b"pupitre " * 40_000)
    assert made.buffer[-256:] == bytes(range(256))
    del made.buffer[1000:]
    made.buffer.extend(bytes(MIB))
    assert made.buffer[-MIB:].count(0) == MIB


@check
def children_are_apart(made: Made) -> None:
    read, write = os.pipe()
    if os.fork() == 0:
        made.numbers[0] = "grandchild"  # type: ignore[call-overload]
        made.array[0] = -1
        made.table.clear()
        Plain.value = 3
        os.write(write, b"x")
        os._exit(0)
    os.read(read, 1)
    assert made.numbers[0] == 0 and made.array[0] == 0 and len(made.table) == 20_000 and Plain.value == 1
    assert os.WEXITSTATUS(os.wait()[1]) == 0


@check
def the_heap_grows_and_shrinks(made: Made) -> None:
    libc = ctypes.CDLL(None)
    libc.sbrk.restype, libc.sbrk.argtypes = ctypes.c_void_p, [ctypes.c_ssize_t]
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    begin = libc.sbrk(0)
    blocks = [libc.malloc(1000) for _ in range(64_000)]
    assert libc.sbrk(0) - begin > 32 * MIB, "malloc no longer uses brk"
    for i, block in enumerate(blocks):
        ctypes.memset(block, i & 255, 1000)
    for i, block in enumerate(blocks):
        assert ctypes.string_at(block, 1000) == bytes([i & 255]) * 1000
        libc.free(block)
    libc.malloc_trim(0)
    assert libc.sbrk(0) - begin < 8 * MIB
    again = libc.malloc(100_000)
    ctypes.memset(again, 255, 100_000)
    libc.free(again)


@check
def calloc_gives_zeros(made: Made) -> None:
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.calloc.restype, libc.calloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t, ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    for _ in range(3):
        blocks = [(libc.malloc(size), size) for size in range(16, 300_000, 1777)]
        for block, size in blocks:
            ctypes.memset(block, 255, size)
        for block, _size in blocks:
            libc.free(block)
        libc.malloc_trim(0)
        clean = [(libc.calloc(1, size), size) for size in range(16, 300_000, 1777)]
        for block, size in clean:
            assert ctypes.string_at(block, size) == bytes(size)
        for block, _size in clean:
            libc.free(block)


@check
def large_memory_is_zero(made: Made) -> None:
    import numpy

    assert not numpy.zeros(16 * MIB, dtype=numpy.uint8).any()
    with mmap.mmap(-1, 8 * MIB) as memory:
        assert memory[:] == bytes(8 * MIB)


@check
def small_objects_are_apart(made: Made) -> None:
    things = [bytes([i & 255]) * (i % 600) for i in range(300_000)]
    lists = [[i] * (i % 30) for i in range(50_000)]
    for i, thing in enumerate(things):
        assert thing.count(i & 255) == i % 600
    for i, numbers in enumerate(lists):
        assert numbers == [i] * (i % 30)


@check
def threads_run(made: Made) -> None:
    sums: list[int] = []

    def work(number: int) -> None:
        mine = [bytearray(100 * (i % 50)) for i in range(20_000)]
        sums.append(sum(map(len, mine)) + number)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(sums) == [49_000_000 + i for i in range(8)]


@check
def programs_start(made: Made) -> None:
    done = subprocess.run([sys.executable, "-c", "print(6 * 7)"], capture_output=True, text=True, timeout=60)
    assert done.stdout == "42\n", done


@check
def errors_are_raised(made: Made) -> None:
    def deep(n: int) -> int:
        return deep(n + 1)

    for provoke in (lambda: made.table["none"], lambda: deep(0), lambda: int("x"), lambda: made.frame["none"]):
        try:
            provoke()
        except (KeyError, RecursionError, ValueError):
            continue
        raise AssertionError("nothing was raised")


@check
def values_survive_copying(made: Made) -> None:
    assert pickle.loads(pickle.dumps(made.table)) == made.table == copy.deepcopy(made.table)
    assert json.loads(json.dumps(made.table)) == made.table
    assert sys.intern("".join(["val", "ue"])) is sys.intern("value")
    assert re.sub(r"(\d+)", r"<\1>", "a1b22") == "a<1>b<22>"
    ordered = OrderedDict(made.table)
    ordered.move_to_end("0")
    assert next(reversed(ordered)) == "0"


@check
def modules_are_replaced(made: Made) -> None:
    before = json.loads
    importlib.reload(json)
    assert json.loads is not before and json.loads("[1]") == [1] == before("[1]")
    del sys.modules["colorsys" if "colorsys" in sys.modules else "json"]
    import json as again

    assert again.dumps({"a": None}) == '{"a": null}'


@check
def arrays_and_tables_compute(made: Made) -> None:
    import numpy
    import pandas

    rng = numpy.random.default_rng(1)
    a = rng.random((60, 60))
    assert numpy.allclose(a @ numpy.linalg.inv(a), numpy.eye(60))
    assert numpy.allclose(numpy.fft.ifft(numpy.fft.fft(a)), a)
    text = "k,v\n" + "\n".join(f"{i % 5},{i}" for i in range(5000))
    read = pandas.read_csv(io.StringIO(text))
    assert read.groupby("k").v.sum().tolist() == [sum(range(k, 5000, 5)) for k in range(5)]
    assert "<table" in read.head()._repr_html_()
    assert read.merge(read, on="v").shape == (5000, 3)
    made.array.resize(400_000, refcheck=False)
    assert made.array[199_999] == 199_999 and made.array[200_000] == 0


@check
def a_collection_writes_to_little(made: Made) -> None:
    """gc.collect() after gc.freeze leaves the template's pages alone."""
    import _nursery

    gc.enable()
    gc.collect()
    before = _nursery.memory_of(os.getpid())["private"]
    gc.collect()
    assert _nursery.memory_of(os.getpid())["private"] - before < 512
    shared = _nursery.memory_of(os.getpid())["shared"]
    assert shared > 10 * before, f"a collection made {before} KiB private, {shared} KiB are shared"


@check
def only_the_file_is_left_open(made: Made) -> None:
    names = [os.readlink(entry) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
    assert not [name for name in names if "pagemap" in name or name.endswith("/maps")], names
    memfds = [name for name in names if "memfd" in name]
    assert memfds in ([], ["/memfd:pupitre-heap (deleted)"])


@check
def pages_written_back_are_shared_again(made: Made) -> None:
    """What was changed and changed back is the template's again, what was changed stays."""
    import _nursery

    if "/memfd:pupitre-heap" not in Path("/proc/self/maps").read_text():
        assert "refused" in _nursery.reshare()
        return
    before = _nursery.memory_of(os.getpid())["private"]
    for array in made.arrays:
        array += 1.0
        array[::2] -= 1.0
        array[1::2] -= 1.0
    array = made.arrays[0]
    array[:1024] = 7.0
    changed = _nursery.memory_of(os.getpid())["private"]
    told = _nursery.reshare()
    assert changed > before + 1200
    assert told["looked_at"] > told["pages"] > 300
    assert _nursery.memory_of(os.getpid())["private"] < changed - 1200
    assert array[:1024].tolist() == [7.0] * 1024 and array[1024:].tolist() == [float(i) for i in range(1024, 5000)]
    array[3000] = -1
    _nursery.reshare()
    assert array[3000] == -1 and array[3001] == 3001


@check
def expected_pages_are_copied_at_once(made: Made) -> None:
    """What a child wrote to, its sibling has copied before it writes to it, and little else."""
    import _nursery

    def write() -> None:
        for array in made.arrays:
            array += 1.0

    def probe() -> bytes:
        write()
        return _nursery.list_copies()

    def sibling() -> bytes:
        private = [_nursery.memory_of(os.getpid())["private"]]
        for act in (_nursery.copy_expected, write):
            act()
            private.append(_nursery.memory_of(os.getpid())["private"])
        good = all(array[7] == 8.0 for array in made.arrays)
        return json.dumps([good, private]).encode()

    ranges = in_a_child(probe)
    gone = struct.pack("2Q", 1 << 30, (1 << 30) + 4096)  # nothing is there
    assert _nursery.expect_copies(gone + ranges + gone) == {"ranges": len(ranges) // 16 + 2}
    good, (before, copied, written) = json.loads(in_a_child(sibling))
    assert good
    assert before + 1400 < copied < before + 4000
    assert written < copied + 200


def in_a_child(act: Callable[[], bytes]) -> bytes:
    read, write = os.pipe()
    if os.fork() == 0:
        os.write(write, act())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as file:
        answer = file.read()
    assert os.wait()[1] == 0
    return answer


@check
def counters_in_bytecode_are_overlooked(made: Made) -> None:
    import _nursery

    sizes = [len(function([1])) for function in made.counting]
    assert sizes == [121] * len(made.counting)
    told = _nursery.reshare()
    if made.noted and "pages" in told:
        assert told["pages"] > len(made.counting) / 6, "two or three of them have a page to themselves"
        assert _nursery.reshare()["pages"] < 30
    assert [len(function([2])) for function in made.counting] == sizes


@check
def code_that_changes_stays_changed(made: Made) -> None:
    """Traced, and specialised anew, while pages are given back."""
    import _nursery

    lines: list[int] = []

    def trace(frame: Any, event: str, argument: object) -> Any:
        lines.append(frame.f_lineno)
        return trace

    for _ in range(3):
        sys.settrace(trace)
        made.counting[0]([])
        _nursery.reshare()
        made.counting[1]([])
        sys.settrace(None)
        _nursery.reshare()
        assert made.counting[2]([1]) == [1] * 121
    assert lines == [1, 2, 2, 3, 4, 4] * 3
    for value in (1, 1.5, "a", [1]) * 3:
        for _ in range(200):
            assert doubled(value) == value * 2
        _nursery.reshare()


def doubled(value: Any) -> Any:
    return value + value


@check
def moved_blocks_are_left_alone(made: Made) -> None:
    import _nursery

    for _ in range(6):
        made.buffer.extend(made.buffer)
        _nursery.reshare()
    assert made.buffer == b"pupitre " * (40_000 << 6)
    made.numbers.extend(made.numbers)
    _nursery.reshare()
    assert made.numbers == [*range(100_000)] * 2


@check
def another_file_is_not_taken_for_the_heap(made: Made) -> None:
    import _nursery

    os.closerange(3, 256)
    for _ in range(8):
        os.open("/etc/passwd", os.O_RDONLY)
    made.table["new"] = 1
    assert "refused" in _nursery.reshare()


@check
def the_file_cannot_be_written(made: Made) -> None:
    """Not even by root, who can reach it: everybody's memory is in it."""
    for entry in Path("/proc/self/map_files").iterdir():
        if not os.readlink(entry).startswith("/memfd:pupitre-heap"):
            continue
        number = os.open(entry, os.O_RDWR)
        for attempt in (lambda n: os.pwrite(n, b"x", 1 << 30), lambda n: os.ftruncate(n, 0)):
            try:
                attempt(number)
            except PermissionError:
                continue
            raise AssertionError("it was written")
        return


def run(name: str, made: Made) -> Any:
    """Run a check in a child. What it died of, or None."""
    import traceback

    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            gc.enable()
            CHECKS[name](made)
        except BaseException:
            os.write(write, traceback.format_exc().encode()[-4000:])
            os._exit(1)
        os._exit(0)
    os.close(write)
    with open(read, "rb") as said:
        text = said.read().decode()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return None if status == 0 else text or f"ended with {status}"
