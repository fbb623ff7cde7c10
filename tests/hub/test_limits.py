# SPDX-License-Identifier: BSD-3-Clause
"""pupitre.hub.LimitedSpawner: a student who takes all memory, processes or processors has their own share only."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from accounts import Account
from classroom import Classroom, Nursery
from fence import Fence, fence
from hub import DEADLINE, Hub, Kernel
from pupitre import cgroups
from pupitre.cgroups import Group
from pupitre.hub import LEAF, make_parent

pytestmark = pytest.mark.timeout(300)

MEMORY_MB, PROCESSES, PROCESSORS = 500, 150, 0.75
CONFIG = f"""
c.JupyterHub.spawner_class = "pupitre.hub.LimitedSpawner"
c.Spawner.mem_limit = "{MEMORY_MB}M"
c.Spawner.cpu_limit = {PROCESSORS}
c.LimitedSpawner.process_limit = {PROCESSES}
"""
EAT = "eaten = []\nwhile True: eaten.append(b'x' * (1 << 20))"
BOMB = """
import subprocess, sys
bomb = '''
import os, time
while True:
    try: os.fork()
    except OSError: time.sleep(1)
'''
subprocess.Popen([sys.executable, "-c", bomb])
while True: subprocess.run(["true"])
"""
BURN = """
import hashlib, threading
threads = [threading.Thread(target=hashlib.pbkdf2_hmac, args=("sha256", b"", b"", 3 * 10**6)) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
SHARED = r"""
import re
value = sum(map(int, re.findall(r"Shared_\w+:\s+(\d+)", open("/proc/self/smaps_rollup").read())))  # kB
"""
DOCTOR = """
import subprocess, sys
code = "from pupitre import doctor; [print(finding.text) for finding in doctor.check_limits()]"
value = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
"""


def counted(file: Path, key: str) -> int:
    """A number from a file of keys and values."""
    return int(dict(line.split() for line in file.read_text().splitlines())[key])


@pytest.fixture(scope="module")
def fenced() -> Iterator[Fence]:
    with fence("pupitre-test-limits") as made:
        yield made


@pytest.fixture(scope="module")
def limited(place: Path, python: Path, users: list[Account], fenced: Fence) -> Iterator[Classroom]:
    """Students within limits, whose kernels come from a nursery that is outside of them."""
    with ExitStack() as stack:
        nursery = Nursery(python, place, "--import", "numpy")
        stack.callback(nursery.stop)
        state = Path(tempfile.mkdtemp(prefix="limited-", dir=place))
        hub = Hub(python, state, {"PUPITRE_NURSERY": str(nursery.socket)}, CONFIG, enter=fenced.enter)
        stack.callback(hub.stop)
        yield Classroom(hub, users, nursery)


@pytest.fixture
def kernels(limited: Classroom) -> Iterator[list[Kernel]]:
    made = limited.start_kernels()
    yield made
    for kernel in made:
        kernel.shut_down()


def check_others(kernels: list[Kernel]) -> None:
    """Kernels that run compute, new ones start."""
    for kernel in kernels:
        assert kernel.value("value = 6 * 7") == 42
        new = kernel.student.start_kernel()
        assert new.value("value = 6 * 7") == 42
        new.shut_down()


def test_server_and_kernel_are_in_the_cgroup_of_their_user(
    limited: Classroom, kernels: list[Kernel], fenced: Fence
) -> None:
    for kernel in kernels:
        worker, server = kernel.value("import os; value = [os.getpid(), int(os.environ['JPY_PARENT_PID'])]")
        limited.check_birth(worker)
        for controller in fenced.groups:
            inside = (fenced.of(kernel.student.account.uid, controller) / "cgroup.procs").read_text().split()
            assert {str(worker), str(server)} <= set(inside), controller


def test_the_shared_memory_of_the_template_is_not_the_students(
    limited: Classroom, kernels: list[Kernel], fenced: Fence
) -> None:
    """A kernel that touches all of it is charged with what it writes alone."""
    kernel = kernels[0]
    group = fenced.of(kernel.student.account.uid, "memory")
    usage = next(file for name in ("memory.usage_in_bytes", "memory.current") if (file := group / name).exists())
    before = int(usage.read_text())
    extra = kernel.student.start_kernel()
    shared = extra.value(SHARED)
    charged = (int(usage.read_text()) - before) >> 10
    extra.shut_down()
    assert shared > 20_000 and charged < shared / 2, (shared, charged)


def test_doctor_says_which_limits_hold(kernels: list[Kernel], fenced: Fence) -> None:
    version = fenced.groups["memory"].version
    by = f"for all processes of the cgroup together (cgroup version {version})"
    said = kernels[0].value(DOCTOR)
    assert said[0] == f"memory: {MEMORY_MB} MB {by}"
    assert said[1].startswith(f"processes: {PROCESSES} {by}; ")
    assert said[2] == f"processor time: {PROCESSORS} {by}"


def test_who_eats_memory_is_killed_at_the_limit_and_told_why(
    limited: Classroom, kernels: list[Kernel], fenced: Fence
) -> None:
    eater, *others = kernels
    reply = eater.finish(eater.begin(EAT)).reply
    assert reply["status"] == "error"
    assert "out of memory: the limit of this server was reached" in reply["evalue"]
    check_others(others)
    eater.student.start_kernel().shut_down()


def test_a_fork_bomb_stops_at_the_limit(limited: Classroom, kernels: list[Kernel], fenced: Fence) -> None:
    bomber, *others = kernels
    group = fenced.of(bomber.student.account.uid, "pids")
    try:
        reply = bomber.finish(bomber.begin(BOMB)).reply
        assert reply["ename"] == "BlockingIOError", reply
        assert counted(group / "pids.events", "max") > 0
        assert PROCESSES / 2 < int((group / "pids.current").read_text()) <= PROCESSES
        check_others(others)
    finally:
        defuse(group)
    check_others([bomber])


def defuse(group: Path) -> None:
    """End the children of the bomb, which can make no more meanwhile, until what was their room is free again."""
    (group / "pids.max").write_text("0")
    deadline = time.monotonic() + DEADLINE
    while int((group / "pids.current").read_text()) > PROCESSES / 2:
        assert time.monotonic() < deadline, "the bomb does not end"
        for pid in (group / "cgroup.procs").read_text().split():
            with suppress(OSError):
                if b"os.fork()" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(int(pid), signal.SIGKILL)
    (group / "pids.max").write_text(str(PROCESSES))


def test_busy_threads_have_their_share_of_processors(limited: Classroom, kernels: list[Kernel], fenced: Fence) -> None:
    burner, *others = kernels
    stat = fenced.of(burner.student.account.uid, "cpu") / "cpu.stat"
    before = counted(stat, "nr_throttled")
    busy = burner.begin(BURN)
    check_others(others)
    assert burner.finish(busy).reply["status"] == "ok"
    assert counted(stat, "nr_throttled") > before + 10


HIDE = 'mount -t tmpfs none /sys/fs/cgroup && exec "$@"'


def test_rlimits_hold_where_there_are_no_cgroups(place: Path, python: Path, users: list[Account]) -> None:
    with fence("pupitre-test-rlimits") as around, ExitStack() as stack:
        state = Path(tempfile.mkdtemp(prefix="rlimits-", dir=place))
        before = ("unshare", "--mount", "sh", "-c", HIDE, "sh")
        hub = Hub(python, state, {"PUPITRE_NURSERY": "off"}, CONFIG, before, around.enter)
        stack.callback(hub.stop)
        kernel = Classroom(hub, users[:1], None).start_kernels()[0]
        said = [line for line in hub.log.lines if "not by cgroup" in line]
        assert [line.partition("Limits of ")[2].partition(", not")[0] for line in said] == [
            "memory: of each process alone, by rlimit",
            "processes: by rlimit",
            "processor time: none",
        ]
        assert kernel.value(DOCTOR)[:3] == [
            f"memory: {MEMORY_MB} MB for each process (rlimit, ulimit -d)",
            f"processes: {PROCESSES} for this user (rlimit, ulimit -u)",
            "processor time: no limit",
        ]
        assert kernel.finish(kernel.begin(EAT)).reply["ename"] == "MemoryError"
        assert kernel.value("del eaten; value = 6 * 7") == 42


@pytest.fixture
def unit(request: pytest.FixtureRequest) -> Iterator[Group]:
    """A group of version 2 as systemd makes one for a unit of that name, with a controller that there is."""
    top = next(top for top in (cgroups.ROOT, cgroups.ROOT / "unified") if (top / "cgroup.controllers").exists())
    there = (top / "cgroup.controllers").read_text().split()
    controller = next(name for name in ("memory", "io", "hugetlb") if name in there)  # the others bear processes beside
    (top / "cgroup.subtree_control").write_text(f"+{controller}")
    made = Group(controller, 2, top / request.param, top)
    made.folder.mkdir()
    yield made
    for folder in (made.folder / LEAF, made.folder):
        if folder.exists():
            folder.rmdir()


@contextmanager
def inhabitant(group: Group) -> Iterator[str]:
    """The pid of a process in a group."""
    enter = (group.folder / "cgroup.procs").write_text
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, preexec_fn=lambda: enter("0") and None) as process:
        yield str(process.pid)


@pytest.mark.parametrize("unit", ["pupitre-test-hub.service"], indirect=True)
def test_the_hubs_processes_make_way_for_groups(unit: Group) -> None:
    """In version 2 a group has either processes or groups with limits."""
    with inhabitant(unit) as pid:
        for _ in "once", "and after a start of the hub in the same unit":
            assert make_parent(unit) == unit
            assert unit.controller in (unit.folder / "cgroup.subtree_control").read_text()
            assert (unit.folder / LEAF / "cgroup.procs").read_text().split() == [pid]
            assert make_parent(unit._replace(folder=unit.folder / LEAF)) == unit


@pytest.mark.parametrize("unit", ["pupitre-test-1.scope"], indirect=True)
def test_a_login_session_is_left_as_it_is(unit: Group) -> None:
    """Its other processes are not the hub's to move."""
    with inhabitant(unit) as pid:
        with pytest.raises(OSError, match="a unit of its own"):
            make_parent(unit)
        assert (unit.folder / "cgroup.procs").read_text().split() == [pid]
