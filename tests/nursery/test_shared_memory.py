# SPDX-License-Identifier: BSD-3-Clause
"""Memory that packages share with their children is, in each worker, its own and its children's: no two students read
or write it, none holds a lock of all, and no file of the template's is written to.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from nursery import AS_ROOT, Begin, Start, python_of
from raw import block

PACKAGE = block("""
    import ctypes, mmap, multiprocessing, os
    context = multiprocessing.get_context('fork')
    value, lock = context.Value('i', 1), context.RLock()
    anonymous = mmap.mmap(-1, 8192)
    anonymous[4096:4101] = b'first'
    table = open(os.path.join(os.path.dirname(__file__), 'table'), 'r+b')
    mapped = mmap.mmap(table.fileno(), 0)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.shmat.restype = ctypes.c_void_p
    number = libc.shmget(0, 4096, 0o1600)
    segment = ctypes.cast(ctypes.c_void_p(libc.shmat(number, None, 0)), ctypes.POINTER(ctypes.c_int))
    segment[0] = 1
    libc.shmctl(number, 0, None)
    hidden = mmap.mmap(-1, 4096)
    hidden[:5] = b'first'
    hidden_place = ctypes.addressof(ctypes.c_char.from_buffer(hidden))
    libc.mprotect(ctypes.c_void_p(hidden_place), 4096, 0)
    def look():
        return [value.value, anonymous[4096:4101].decode(), mapped[:5].decode(), segment[0]]
""")
WRITE = block("""
    import ctypes, sharer
    sharer.value.value = 2; sharer.anonymous[4096:4101] = b'other'; sharer.mapped[:5] = b'other'; sharer.segment[0] = 2
    sharer.mapped.flush()
    assert sharer.lock.acquire(timeout=0)
    sharer.libc.mprotect(ctypes.c_void_p(sharer.hidden_place), 4096, 3)
    sharer.hidden[:5] = b'other'
""")
CHILD = block("""
    import os
    child = os.fork()
    if child == 0:
        sharer.value.value = 3; sharer.anonymous[4096:4101] = b'child'; sharer.segment[0] = 3
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
""")
INODES = "[line.split()[4] for line in open('/proc/self/maps') if line.split()[1][1::2] == 'ws']"
SHOW = "__import__('sharer').look()"


@pytest.mark.parametrize("system", [False, True] if AS_ROOT else [False], ids=["user", "system"])
@pytest.mark.long
def test_shared_memory_is_a_kernels_own(begin: Begin, start: Start, environment: Path, system: bool) -> None:
    (environment / "sharer.py").write_text(PACKAGE)
    table = environment / "table"
    table.write_text("first second")
    table.chmod(0o600)
    nursery = begin("--python", python_of(environment), "--import", "sharer", system=system)
    named = {"PUPITRE_PYTHON": python_of(environment)}
    early, one, other = (start(nursery, env=named).client() for _ in range(3))
    assert one.evaluate(SHOW) == [1, "first", "first", 1]
    one.ok(WRITE)
    assert one.evaluate(SHOW) == [2, "other", "other", 2]
    one.ok(CHILD)
    assert one.evaluate(SHOW) == [3, "child", "other", 3]
    late = start(nursery, env=named).client()
    for client in (early, other, late):
        assert client.evaluate(SHOW) == [1, "first", "first", 1]
        client.ok("import ctypes, sharer; sharer.libc.mprotect(ctypes.c_void_p(sharer.hidden_place), 4096, 3)")
        assert client.evaluate("sharer.hidden[:5].decode()") == "first"
        client.ok("assert sharer.lock.acquire(timeout=0)")
    assert table.read_text() == "first second"
    inodes = [set(client.evaluate(INODES)) for client in (early, one, other, late)]
    assert all(inodes)
    assert all(a.isdisjoint(b) for number, a in enumerate(inodes) for b in inodes[:number])
