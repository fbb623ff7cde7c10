# SPDX-License-Identifier: BSD-3-Clause
"""Nothing of one kernel is in another: keys, environments, memory, descriptors, of 50 kernels from one template."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

import pytest
from launch import Owner
from nursery import AS_ROOT, Nursery, Start, born_in_nursery
from procs import Process
from raw import block

COUNT = 50
# Canaries end in letters: a search for their beginning can tell whose they are. Its reverse is what searches carry.
SEARCH = block("""
    def search(nigeb):
        import re
        wanted = re.compile(nigeb[::-1].encode() + b'[a-z]{3}')
        found, looked = set(), 0
        with open('/proc/self/maps') as maps, open('/proc/self/mem', 'rb', 0) as memory:
            for line in maps:
                place, rights = line.split()[:2]
                begin, end = (int(number, 16) for number in place.split('-'))
                if 'r' not in rights or '[v' in line:
                    continue
                if 'w' not in rights and 'memfd' not in line and len(line.split()) > 5:
                    continue  # a library's code
                try:
                    memory.seek(begin)
                    text = memory.read(end - begin)
                except OSError:
                    continue
                looked += len(text)
                found |= {match[-3:].decode() for match in wanted.findall(text)}
        return [sorted(found), looked]
""")


def letters(number: int) -> str:
    return "".join(chr(ord("a") + number // 26**place % 26) for place in (2, 1, 0))


@pytest.mark.timeout(300)
@pytest.mark.long
def test_kept_apart_memory(nursery: Nursery, start: Start) -> None:
    """Each kernel has a canary in its key, its environment and its namespace, finds its own and no other."""
    count = COUNT if nursery.system or not AS_ROOT else 10
    beginning = secrets.token_hex(16)
    canaries = {letters(number): f"{beginning}{letters(number)}" for number in range(count)}
    kernels = {
        name: start(nursery, env={"CANARY": canary}, key=canary, wait=False, cold=True)
        for name, canary in canaries.items()
    }
    clients = {name: kernel.client() for name, kernel in kernels.items()}
    for name, client in clients.items():
        client.ok(f"mine = {canaries[name]!r} * 3\nprint(mine)\n{SEARCH}")
        client.ok("1/0 if mine is None else mine")
        born_in_nursery(kernels[name])
    hits = 0
    for name, client in clients.items():
        found, looked = client.evaluate(f"search({beginning[::-1]!r})")
        assert name in found, "it does not even find its own"
        assert looked > 20 << 20
        hits += len(set(found) - {name})
    assert hits == 0, f"{hits} of {count * (count - 1)}"
    for process, least in ((nursery.template(), 20 << 20), (nursery.listener(), 100 << 10)):
        text = memory_of(process)
        assert re.search(beginning.encode(), text) is None and len(text) > least


def memory_of(process: Process) -> bytes:
    """All that it can write to."""
    found = []
    with open(f"/proc/{process.pid}/mem", "rb", 0) as memory:
        for line in Path(f"/proc/{process.pid}/maps").read_text().splitlines():
            place, rights = line.split()[:2]
            begin, end = (int(number, 16) for number in place.split("-"))
            if rights.startswith("rw"):
                memory.seek(begin)
                found.append(memory.read(end - begin))
    return b"".join(found)


def open_files(process: Process) -> set[tuple[int, int, str]]:
    """What its descriptors lead to; an eventfd, which has no file of its own, by its number."""
    found = set()
    for link in Path(f"/proc/{process.pid}/fd").iterdir():
        try:
            target = os.readlink(link)
            status = os.stat(link)
            info = Path(f"/proc/{process.pid}/fdinfo/{link.name}").read_text()
        except FileNotFoundError:  # closed meanwhile
            continue
        number = re.search(r"eventfd-id:\s*(\d+)", info)
        if target.startswith("anon_inode:") and not number:
            continue  # epoll and the like: one inode for all, nothing in it that is not a descriptor as well
        found.add((status.st_dev, status.st_ino, f"{target} {number[1] if number else ''}"))
    return found


def test_kept_apart_descriptors(nursery: Nursery, start: Start) -> None:
    """No two workers share anything but /dev/null and the sealed memory of the template."""
    workers = [born_in_nursery(start(nursery)) for _ in range(10)]
    files = [{file for file in open_files(worker) if file[2].strip() != "/dev/null"} for worker in workers]
    assert all(len(found) >= 6 for found in files)
    for number, found in enumerate(files):
        for other in files[:number]:
            assert {file for file in found & other if "memfd:pupitre-heap" not in file[2]} == set()
    of_template = open_files(nursery.template()) | open_files(nursery.listener())
    for found in files:
        assert {file for file in found & of_template if "memfd:pupitre-heap" not in file[2]} == set()


def test_kept_apart_heap_is_sealed(nursery: Nursery, start: Start) -> None:
    """The memory that all share can be written by none, through whatever leads to it."""
    client = start(nursery).client()
    client.ok(
        block("""
        import errno, mmap, os
        def attempt(function):
            try:
                function()
            except OSError as error:
                return error.errno
            return 0
        heaps = [int(n) for n in os.listdir('/proc/self/fd')
                 if os.path.islink(f'/proc/self/fd/{n}') and 'pupitre-heap' in os.readlink(f'/proc/self/fd/{n}')]
        tried = [[
            attempt(lambda: os.pwrite(n, b'x', 0)),
            attempt(lambda: os.ftruncate(n, 0)),
            attempt(lambda: mmap.mmap(n, 4096, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)),
            attempt(lambda: os.close(os.open(f'/proc/self/fd/{n}', os.O_RDWR)) or os.pwrite(
                os.open(f'/proc/self/fd/{n}', os.O_RDWR), b'x', 0)),
        ] for n in heaps]
        """)
    )
    for tried in client.evaluate("tried"):
        assert 0 not in tried, tried
    names = {
        line.split()[-1] for line in client.evaluate("[l for l in open('/proc/self/maps') if 'pupitre-heap' in l]")
    }
    writable = client.evaluate("[l for l in open('/proc/self/maps') if 'pupitre-heap' in l and l.split()[1][1] == 'w']")
    assert names and not any("s" in line.split()[1] for line in writable), names


only_system = pytest.mark.parametrize("nursery", ["system"], indirect=True)
if AS_ROOT:

    @only_system
    def test_kept_apart_signals(nursery: Nursery, start: Start) -> None:
        """Killing everything that one may kill ends one's own kernel, and nobody else's."""
        uid = 30_000 + os.getpid() % 10_000  # nobody else's, other runs of these tests included
        victim, other = start(nursery, owner=Owner(uid, uid)), start(nursery)
        template = nursery.template()
        client = victim.client()
        client.execute("import os, signal; os.kill(-1, signal.SIGKILL)")
        victim.wait_exit()
        client.drain()
        assert other.client().ok("1+1").text == "2"
        assert not template.gone(0)

    @only_system
    def test_kept_apart_nothing_is_left_with_the_heap(nursery: Nursery, start: Start) -> None:
        """The file that all share takes neither attributes nor times, and nobody opens it once more."""
        client = start(nursery).client()
        client.ok(
            block("""
            import os
            heaps = [f'/proc/self/fd/{n}' for n in os.listdir('/proc/self/fd')
                     if os.path.islink(f'/proc/self/fd/{n}') and 'pupitre-heap' in os.readlink(f'/proc/self/fd/{n}')]
            done = []
            for heap in heaps:
                for name, attempt in {'attribute': lambda: os.setxattr(heap, 'user.x', b'x'),
                                      'times': lambda: os.utime(heap),
                                      'open': lambda: os.close(os.open(heap, os.O_RDWR))}.items():
                    try:
                        attempt()
                        done.append(name)
                    except OSError:
                        pass
            """)
        )
        assert client.evaluate("len(heaps)") == 1
        assert client.evaluate("done") == []

    @only_system
    def test_kept_apart_users_may_not_look(nursery: Nursery, start: Start) -> None:
        """In a nursery for all: a worker is its user's, root's to others; template and listener are nobody's."""
        kernel = start(nursery)
        root = start(nursery, owner=None, cold=True)
        client = kernel.client()
        for process in (nursery.template(), nursery.listener(), root.worker):
            for name in ("mem", "environ", "fd", "maps"):
                code = f"(os.listdir if {name!r} == 'fd' else lambda p: open(p).close())('/proc/{process.pid}/{name}')"
                result = client.run(f"import os\n{code}")
                assert result.content.get("ename") == "PermissionError", (process, name, result.content)
        assert client.evaluate("open('/proc/self/environ').close()") is None
        assert client.evaluate("len(__import__('os').listdir('/proc/self/fd')) > 5")
