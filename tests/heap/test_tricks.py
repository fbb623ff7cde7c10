# SPDX-License-Identifier: BSD-3-Clause
"""What each trick does to memory, and when it does nothing."""

import sys
from typing import Any

import pytest
from conftest import Driver

FORKED = """
import gc, json, os
import _nursery

def private_after(work):
    '''KiB that a child has for itself when it has done the work, while a sibling is alive.'''
    hold, release = os.pipe()
    if os.fork() == 0:
        os.close(release)
        os.read(hold, 1)
        os._exit(0)
    read, write = os.pipe()
    if os.fork() == 0:
        kept = work()
        os.write(write, json.dumps(_nursery.memory_of(os.getpid())["private"]).encode())
        os._exit(0)
    private = json.loads(os.read(read, 100))
    os.close(release)
    os.wait(), os.wait()
    return private
"""

HOLES = (
    FORKED
    + """
import ctypes, sys
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
SIZE = int(sys.argv[1])

def small():
    return [bytes(SIZE) for _ in range(40_000)]

def chunks():
    return [ctypes.memset(libc.malloc(SIZE), 1, SIZE) for _ in range(5_000)]

if sys.argv[2] == "pools":
    things = [bytes(SIZE) for _ in range(120_000)]
    del things[::3]
    work = small
else:
    blocks = [libc.malloc(SIZE) for _ in range(15_000)]
    for block in blocks[::3]:
        libc.free(block)
    work = chunks
gc.collect()
gc.freeze()
loose = private_after(work)
plugged = _nursery.plug_holes()
print(json.dumps([loose, private_after(work), plugged, _nursery.plug_holes()]))
"""
)

REFUSALS = """
import json, os, sys, threading
import _nursery

def names(wanted):
    while len(found := _nursery.thread_names()) != wanted:
        pass
    return found

told = {"threads": _nursery.count_threads(), "names": names(1)}
end = threading.Event()
thread = threading.Thread(target=end.wait)
thread.start()
told |= {"threads_two": _nursery.count_threads(), "names_two": len(names(2)), "remap_threads": _nursery.remap_heap()}
end.set()
thread.join()
names(1)
import resource
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 30, hard))
told["remap_limit"] = _nursery.remap_heap()
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
told["plug"] = _nursery.plug_holes()
told["remap"] = _nursery.remap_heap()
told["pid"] = os.getpid()
print(json.dumps(told))
"""

REMAPPED = (
    FORKED
    + """
kept = [bytes(1000) for _ in range(40_000)]
tables = lambda: int([line for line in open("/proc/self/status") if line.startswith("VmPTE")][0].split()[1])
def child_tables():
    read, write = os.pipe()
    if os.fork() == 0:
        os.write(write, str(tables()).encode())
        os._exit(0)
    told = int(os.read(read, 100))
    os.wait()
    return told
gc.collect()
gc.freeze()
before = child_tables()
touch = lambda: sum(map(len, kept))
loose = private_after(touch)
_nursery.remap_heap()
maps = open("/proc/self/maps").read()
print(json.dumps([before, child_tables(), loose, private_after(touch), maps.count("/memfd:pupitre-heap")]))
"""
)

IMMORTAL = (
    FORKED
    + """
class Thing:
    def __init__(self, value): self.value = value
things = [Thing(str(i)) for i in range(100_000)]
def touch():
    seen = [thing.value for thing in things]
    for thing in things:
        thing
    return len(seen)
gc.collect()
free = Thing("free")
loose = private_after(touch)
said = _nursery.immortalise(mortal=[free])
gc.freeze()
import sys
print(json.dumps([loose, private_after(touch), said, sys.getrefcount(free) < 10, sys.getrefcount(things) > 1 << 30]))
"""
)


@pytest.mark.parametrize(("size", "where"), [(40, "pools"), (400, "pools"), (600, "bins"), (3000, "bins")])
def test_plugged_holes_are_not_dirtied(run_driver: Driver, size: int, where: str) -> None:
    loose, plugged, said, again = run_driver(HOLES, str(size), where)
    assert said["blocks" if where == "pools" else "chunks"] > 1000
    assert plugged < loose * 0.75, f"{plugged} KiB instead of {loose}"
    assert again["block_bytes"] <= 32 * 16 * 1024, "no more than what is left of one pool of each class"
    assert again["chunks"] < 300


def test_the_heap_in_a_file_is_shared(run_driver: Driver) -> None:
    tables_before, tables_after, before, after, mappings = run_driver(REMAPPED)
    assert mappings > 1
    assert tables_after < tables_before * 0.9, f"page tables: {tables_after} KiB instead of {tables_before}"
    assert after <= before * 1.1 + 64, f"{after} KiB instead of {before}"


def test_immortal_objects_are_not_written_to(run_driver: Driver) -> None:
    before, after, said, mortal, immortal = run_driver(IMMORTAL)
    assert mortal
    if sys.version_info < (3, 12):
        assert "3.12" in said["refused"] and not immortal
        return
    assert said["objects"] > 200_000 and immortal
    assert after < before * 0.6, f"{after} KiB instead of {before}"


def test_refusals(run_driver: Driver) -> None:
    told: dict[str, Any] = run_driver(REFUSALS)
    assert told["threads"] == 1 and told["threads_two"] == 2 and told["names_two"] == 2
    assert told["names"] == [[told["pid"], "heap-driver"]]
    assert "threads" in told["remap_threads"]["refused"]
    assert "RLIMIT_FSIZE" in told["remap_limit"]["refused"]
    assert told["plug"]["blocks"] > 0 and told["remap"]["bytes"] > 0


@pytest.mark.parametrize("allocator", ["malloc", "debug"])
def test_another_allocator_is_not_plugged(run_driver: Driver, allocator: str) -> None:
    said = run_driver("import json, _nursery; print(json.dumps(_nursery.plug_holes()))", PYTHONMALLOC=allocator)
    assert "PYTHONMALLOC" in said["refused"]


def test_nobodys_memory_is_an_error(run_driver: Driver) -> None:
    code = "import json, _nursery\ntry: _nursery.memory_of(0)\nexcept OSError as e: print(json.dumps(str(e)))"
    assert "smaps_rollup" in run_driver(code)
