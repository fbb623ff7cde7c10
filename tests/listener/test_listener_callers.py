# SPDX-License-Identifier: BSD-3-Clause
"""Who asks: what the order says of them, and the callers that nobody could be like."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import re
import resource
import signal
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from listener import Front, Listener, eventually
from messages import DEADLINE, GROUPS_MAX, Op, Reason
from people import ALICE, BOB, Other, become, libc, must, nothing, run, run_as

CLONE = {
    "cgroup": 0x02000000,
    "ipc": 0x08000000,
    "mnt": 0x00020000,
    "net": 0x40000000,
    "pid": 0x20000000,
    "time": 0x00000080,
    "user": 0x10000000,
    "uts": 0x04000000,
}
PR_SET_TIMERSLACK, PR_SET_SECCOMP, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 29, 22, 24, 38, 47
PR_SET_SPECULATION_CTRL = 53
CAP_WAKE_ALARM, CAP_NET_RAW = 35, 13
NOBODY = 65534


def outcome(path: Path, after_connecting: Callable[[], Any] = nothing) -> str:
    """START: "FORKED" or why not."""
    with Front(path) as front:
        after_connecting()
        front.request()
        answer = front.answer()
        assert answer is not None
        if answer.op == Op.QUEUED:
            answer = front.answer()
            assert answer is not None
        return "FORKED" if answer.op == Op.FORKED else Reason(answer.reason).name


def test_uid_is_the_kernels_word(folder: Path) -> None:
    with Listener(folder, "--max-uid", str(2**32 - 2), system=True) as listener:
        for uid in (ALICE, BOB, 1000, 65535, 2**31, 1001):
            assert run_as(uid, lambda: outcome(listener.path)) == "FORKED"
            order = listener.events("order")[-1]
            assert (order["uid"], order["gid"], order["groups"], order["keep_identity"]) == (uid, uid, [], 0)
        assert run_as(NOBODY, lambda: outcome(listener.path)) == "NOT_ALLOWED"


@pytest.mark.parametrize("uid", [0, 1, 999, 60001, 61184, NOBODY, 100000, 2**31])
def test_uids_of_the_system(system: Listener, uid: int) -> None:
    """Nor those that systemd draws, subordinate ones, and nobody."""
    assert run_as(uid, lambda: outcome(system.path)) == "NOT_ALLOWED"


def test_min_uid(folder: Path) -> None:
    with Listener(folder, "--min-uid", "0", system=True) as listener:
        assert run(nothing, lambda: outcome(listener.path)) == "FORKED"
    with Listener(folder, "--min-uid", str(BOB), system=True) as listener:
        assert run_as(ALICE, lambda: outcome(listener.path)) == "NOT_ALLOWED"
        assert run_as(BOB, lambda: outcome(listener.path)) == "FORKED"


def test_nursery_of_one_user(folder: Path) -> None:
    """Root may ask how it is, and get no worker of that user's."""
    os.chown(folder, ALICE, ALICE)
    with Listener(folder, before=lambda: become(ALICE, [7, 5])) as listener:
        assert outcome(listener.path) == "NOT_ALLOWED"
        assert listener.status().refused == {"NOT_ALLOWED": 1}
        assert run_as(ALICE, lambda: outcome(listener.path), [5, 7]) == "FORKED"
        order = listener.events("order")[-1]
        assert (order["uid"], order["keep_identity"], order["groups"]) == (ALICE, 1, [5, 7])
        assert run_as(ALICE, lambda: outcome(listener.path), [5]) == "PLACEMENT"
        assert run_as(ALICE, lambda: outcome(listener.path), [5, 7, 9]) == "PLACEMENT"

        def other_group() -> None:
            os.setgroups([5, 7])
            os.setgid(BOB)
            os.setuid(ALICE)

        assert run(other_group, lambda: outcome(listener.path)) == "PLACEMENT"


def test_groups(system: Listener) -> None:
    groups = list(range(2000, 2000 + GROUPS_MAX))
    assert run_as(ALICE, lambda: outcome(system.path), groups) == "FORKED"
    assert system.events("order")[-1]["groups"] == groups
    assert run_as(ALICE, lambda: outcome(system.path), [*groups, 9]) == "GROUPS"


def test_placement(system: Listener) -> None:
    """What a caller set for itself."""

    def change() -> None:
        os.nice(7)
        Path("/proc/self/oom_score_adj").write_text("321")
        Path("/proc/self/coredump_filter").write_text("0x21")
        must(libc.personality(0x0040000))  # ADDR_NO_RANDOMIZE
        must(libc.prctl(PR_SET_TIMERSLACK, 70000))
        must(libc.syscall(251, 1, 0, 3 << 13 | 0))  # ioprio_set: idle
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        resource.setrlimit(resource.RLIMIT_CPU, (1234, 5678))
        resource.setrlimit(resource.RLIMIT_NOFILE, (99, 100))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        become(ALICE, [BOB])

    assert run(change, lambda: outcome(system.path)) == "FORKED"
    order = system.events("order")[-1]
    assert (order["nice"], order["oom_score_adj"], order["coredump_filter"]) == (7, 321, 0x21)
    assert (order["personality"], order["timer_slack_ns"]) == (0x0040000, 70000)
    assert (order["policy"], order["priority"], order["ioprio"] >> 13) == (os.SCHED_BATCH, 0, 3)
    assert order["cpus"] == [max(os.sched_getaffinity(0))]
    assert order["limits"][resource.RLIMIT_CPU] == [1234, 5678]
    assert order["limits"][resource.RLIMIT_NOFILE] == [99, 100]
    assert order["limits"][resource.RLIMIT_CORE] == [0, 0]
    assert order["limits"][resource.RLIMIT_AS] == [2**64 - 1, 2**64 - 1]
    loginuid = Path("/proc/self/loginuid")
    assert order["loginuid"] == (int(loginuid.read_text()) if loginuid.exists() else 2**32 - 1)
    bounding = Path("/proc/self/status").read_text().split("CapBnd:\t")[1].split()[0]
    assert order["cap_bounding"] == int(bounding, 16)


def test_real_time(system: Listener) -> None:
    def change() -> None:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(5))
        become(ALICE)

    assert run(change, lambda: outcome(system.path)) == "FORKED"
    order = system.events("order")[-1]
    assert (order["policy"], order["priority"]) == (os.SCHED_RR, 5)


def test_scheduling_that_a_fork_resets(system: Listener) -> None:
    def change() -> None:
        os.sched_setscheduler(0, os.SCHED_OTHER | os.SCHED_RESET_ON_FORK, os.sched_param(0))
        become(ALICE)

    assert run(change, lambda: outcome(system.path)) == "PLACEMENT"


@pytest.mark.parametrize("space", CLONE)
def test_other_namespace(per_user: Listener, space: str) -> None:
    assert run(lambda: must(libc.unshare(CLONE[space])), lambda: outcome(per_user.path)) == "OTHER_NAMESPACE"
    assert per_user.events("order") == []


def test_other_root(per_user: Listener) -> None:
    (per_user.folder / "root").mkdir()
    assert run(nothing, lambda: outcome(per_user.path, lambda: os.chroot(per_user.folder))) == "OTHER_ROOT"


def test_root_that_is_another_mount_of_the_same(folder: Path) -> None:
    """The same directory in the same namespace, yet another mount of it."""
    (folder / "root").mkdir()
    subprocess.run(["mount", "--bind", "/", str(folder / "root")], check=True)
    try:
        with Listener(folder) as listener:
            reason = run(nothing, lambda: outcome(listener.path, lambda: os.chroot(folder / "root")))
            assert reason == "OTHER_ROOT"
    finally:
        subprocess.run(["umount", "-l", str(folder / "root")], check=True)


def filter_nothing() -> None:
    """A seccomp filter that allows everything."""
    allow = struct.pack("=HBBI", 0x06, 0, 0, 0x7FFF0000)
    code = ctypes.create_string_buffer(allow)
    program = ctypes.create_string_buffer(struct.pack("=HxxxxxxQ", 1, ctypes.addressof(code)))
    must(libc.prctl(PR_SET_SECCOMP, 2, program))


def test_seccomp(per_user: Listener) -> None:
    assert run(filter_nothing, lambda: outcome(per_user.path)) == "SECCOMP"


def test_listener_under_seccomp(folder: Path) -> None:
    with Listener(folder, before=filter_nothing) as listener:
        assert run(nothing, lambda: outcome(listener.path)) == "SECCOMP"
        assert run(filter_nothing, lambda: outcome(listener.path)) == "FORKED"

        def twice() -> None:
            filter_nothing()
            filter_nothing()

        assert run(twice, lambda: outcome(listener.path)) == "SECCOMP"


def test_everybodys_listener_under_seccomp(folder: Path) -> None:
    """As many filters are not the same filters, unless the first process has them, too."""

    def change() -> None:
        filter_nothing()
        become(ALICE)

    with Listener(folder, system=True, before=filter_nothing) as listener:
        assert run(change, lambda: outcome(listener.path)) == "SECCOMP"


def gain_nothing() -> None:
    must(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))


def test_no_new_privs(per_user: Listener) -> None:
    assert run(gain_nothing, lambda: outcome(per_user.path)) == "NO_NEW_PRIVS"


def test_listener_with_no_new_privs(folder: Path) -> None:
    """Who is confined by Landlock must have it, and Linux shows no more: who has it is not served, unless told."""
    with Listener(folder, before=gain_nothing) as listener:
        assert run(gain_nothing, lambda: outcome(listener.path)) == "NO_NEW_PRIVS"
    with Listener(folder, "--serve-confined", "1", before=gain_nothing) as listener:
        assert run(gain_nothing, lambda: outcome(listener.path)) == "FORKED"
    with Listener(folder, "--serve-confined", "1") as listener:
        assert run(gain_nothing, lambda: outcome(listener.path)) == "NO_NEW_PRIVS"


def test_mitigations(per_user: Listener) -> None:
    """A caller for whom speculation was made safe, where Linux can do that for one process."""

    def state() -> list[str]:
        return [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("Speculation")]

    def act() -> tuple[str, list[str]]:
        return outcome(per_user.path), state()

    for mitigation in (0, 1):  # PR_SPEC_STORE_BYPASS, PR_SPEC_INDIRECT_BRANCH
        change = functools.partial(libc.prctl, PR_SET_SPECULATION_CTRL, mitigation, 1 << 2, 0, 0)
        reason, found = run(change, act)
        assert reason == ("FORKED" if found == state() else "PLACEMENT")


def capset(*capabilities: int) -> None:
    """Permitted, effective and inheritable."""
    mask = sum(1 << c for c in capabilities)
    header = ctypes.create_string_buffer(struct.pack("=Ii", 0x20080522, 0))
    low, high = mask & 0xFFFFFFFF, mask >> 32
    must(libc.capset(header, ctypes.create_string_buffer(struct.pack("=6I", low, low, low, high, high, high))))


def with_ambient(capability: int) -> Callable[[], None]:
    def change() -> None:
        must(libc.prctl(8, 1, 0, 0, 0))  # PR_SET_KEEPCAPS
        become(ALICE)
        capset(capability)
        must(libc.prctl(PR_CAP_AMBIENT, 2, capability, 0, 0))

    return change


def test_capabilities(system: Listener) -> None:
    """They would be lost; that of systemd's sessions nobody misses."""
    assert run(with_ambient(CAP_NET_RAW), lambda: outcome(system.path)) == "PLACEMENT"
    assert run(with_ambient(CAP_WAKE_ALARM), lambda: outcome(system.path)) == "FORKED"


def test_capabilities_of_a_users_own_nursery(folder: Path) -> None:
    """Its template has none, whatever the listener has."""
    os.chown(folder, ALICE, ALICE)
    for capability in (CAP_WAKE_ALARM, CAP_NET_RAW):
        with Listener(folder, before=with_ambient(capability)) as listener:
            status = Path(f"/proc/{listener.events('start')[-1]['pid']}/status").read_text()
            for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
                assert f"{name}:\t0000000000000000\n" in status
            assert run_as(ALICE, lambda: outcome(listener.path)) == "FORKED"
            wanted = "FORKED" if capability == CAP_WAKE_ALARM else "PLACEMENT"
            assert run(with_ambient(capability), lambda: outcome(listener.path)) == wanted


def test_bounding_set(folder: Path) -> None:
    """Of one's own nursery it is inherited, of everybody's it is told."""

    def change() -> None:
        must(libc.prctl(PR_CAPBSET_DROP, CAP_NET_RAW, 0, 0, 0))

    with Listener(folder) as listener:
        assert run(change, lambda: outcome(listener.path)) == "PLACEMENT"
    with Listener(folder, system=True, path=folder / "all" / "s") as listener:
        assert run(lambda: (change(), become(ALICE)), lambda: outcome(listener.path)) == "FORKED"
        assert listener.events("order")[-1]["cap_bounding"] >> CAP_NET_RAW & 1 == 0


@pytest.mark.parametrize("ids", [(ALICE, 0, 0), (0, ALICE, 0), (ALICE, ALICE, 0)])
def test_several_identities(per_user: Listener, ids: tuple[int, int, int]) -> None:
    """As of a set-user-id program, whatever it was when it connected."""
    assert run(nothing, lambda: outcome(per_user.path, lambda: os.setresuid(*ids))) == "PLACEMENT"


def test_becomes_another_after_connecting(system: Listener) -> None:
    """Root's connection stays root's, whoever speaks on it."""
    assert run(nothing, lambda: outcome(system.path, lambda: become(ALICE))) == "NOT_ALLOWED"

    def act() -> str:
        with Front(system.path) as front:  # as Alice by her effective uid; then root again
            os.setresuid(0, 0, 0)
            front.request()
            return front.refusal()

    assert run(lambda: os.setresuid(ALICE, ALICE, 0), act) == "PLACEMENT"


def test_connection_of_somebody_who_ended(system: Listener) -> None:
    """Its child has it still, and speaks."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            become(ALICE)
            front, parent = Front(system.path), os.getpid()
            if os.fork() == 0:
                eventually(lambda: not Path(f"/proc/{parent}").exists())
                front.request()
                os.write(write, front.refusal().encode())
        os._exit(0)
    os.close(write)
    os.waitpid(pid, 0)
    assert os.read(read, 100) == b"PLACEMENT"
    os.close(read)


def test_connection_that_was_passed_on(system: Listener) -> None:
    """Alice's connection in Bob's hands starts a worker of Alice's, for as long as she lives."""
    hers, his = socket.socketpair()
    his.settimeout(DEADLINE)

    def connect(wait: Callable[[], None]) -> None:
        front = Front(system.path)
        socket.send_fds(hers, [b"x"], [front.sock.fileno()])
        wait()

    alice = Other(lambda: become(ALICE), connect)

    def speak() -> str:
        front = Front(system.path)
        front.sock = socket.socket(fileno=socket.recv_fds(his, 1, 1)[1][0])
        front.sock.settimeout(DEADLINE)
        front.request()
        front.expect(Op.QUEUED)
        return front.expect(Op.FORKED).op.name

    assert run_as(BOB, speak) == "FORKED"
    alice.go()
    alice.result()
    assert [(order["uid"], order["caller"]) for order in system.events("order")] == [(ALICE, alice.pid)]
    hers.close()
    his.close()


def test_stopped_caller(system: Listener) -> None:
    """It is looked at all the same, and nobody waits for it."""

    def act(wait: Callable[[], None]) -> str:
        with Front(system.path) as front:
            front.request()
            os.kill(os.getpid(), signal.SIGSTOP)
            front.expect(Op.QUEUED)
            return front.expect(Op.FORKED).op.name

    person = Other(lambda: become(ALICE), act)
    eventually(lambda: system.events("order"))
    assert run_as(BOB, lambda: outcome(system.path)) == "FORKED"
    os.kill(person.pid, signal.SIGCONT)
    assert person.result() == "FORKED"


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """A cgroup of its own; where there is no hierarchy of version 2, of the first that may be written."""
    bases = [Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/pids")]
    for base in bases:
        path = base / f"pupitre-listener-{os.getpid()}"
        with contextlib.suppress(OSError):
            path.mkdir()
            if (path / "cgroup.procs").exists():
                break
            path.rmdir()
    yield path
    eventually(lambda: not (path / "cgroup.procs").read_text())
    path.rmdir()


def test_other_cgroup(system: Listener, cgroup: Path) -> None:
    """It is opened by us, for the child to write to."""

    def change() -> None:
        (cgroup / "cgroup.procs").write_text(str(os.getpid()))
        become(ALICE)

    assert run(change, lambda: outcome(system.path)) == "FORKED"
    order = system.events("order")[-1]
    assert order["cgroup_count"] == 1
    assert order["fds"][10:] == [str(cgroup / "cgroup.procs")]


def test_cgroups_of_every_hierarchy(system: Listener) -> None:
    """Those of version 1 that may be written, and version 2."""
    made = []
    for base in sorted(Path("/sys/fs/cgroup").iterdir()):
        path = base / f"pupitre-listener-{os.getpid()}"
        if (base / "cgroup.procs").exists() and base.name != "cpuset":
            with contextlib.suppress(OSError):
                path.mkdir()
                made.append(path)

    def change() -> None:
        for path in made:
            (path / "cgroup.procs").write_text(str(os.getpid()))
        become(ALICE)

    try:
        assert run(change, lambda: outcome(system.path)) == "FORKED"
        assert sorted(system.events("order")[-1]["fds"][10:]) == sorted(str(path / "cgroup.procs") for path in made)
    finally:
        for path in made:
            eventually(lambda path=path: not (path / "cgroup.procs").read_text())  # type: ignore[misc]
            path.rmdir()


def test_cgroup_that_may_not_be_joined(folder: Path, cgroup: Path) -> None:
    os.chown(folder, ALICE, ALICE)

    def change() -> None:
        (cgroup / "cgroup.procs").write_text(str(os.getpid()))
        become(ALICE)

    with Listener(folder, before=lambda: become(ALICE)) as listener:
        assert run(change, lambda: outcome(listener.path)) == "CGROUP"
        assert run_as(ALICE, lambda: outcome(listener.path)) == "FORKED"


PATHS_OF_OURS = (
    r"/proc/self",
    r"/proc/\d+",
    r"/proc/1/status",
    r"/sys/fs/cgroup",
    r"ns/(user|mnt|pid|pid_for_children|net|ipc|uts|time|time_for_children|cgroup)",
    r"attr/(apparmor/|smack/)?current",
    r"root|status|cgroup|limits|oom_score_adj|loginuid|timerslack_ns|coredump_filter|personality",
    r"|\.|unified|[a-z]+",  # statx of a descriptor; hierarchies
    r"pupitre-listener-\d+/cgroup\.procs",
    r"/dev/null",
)


def test_no_strangers_string_in_a_system_call(folder: Path, cgroup: Path) -> None:
    """Under strace: every path is one of ours, whatever a caller calls itself and what it has."""
    trace = folder / "trace"

    def change() -> None:
        (folder / "Sinister ..").mkdir()
        (cgroup / "cgroup.procs").write_text(str(os.getpid()))
        os.chdir(folder / "Sinister ..")
        must(libc.prctl(15, b"Sinister/../", 0, 0, 0))
        os.environ["SINISTER"] = "/Sinister"
        become(ALICE)

    with Listener(folder, system=True) as listener:
        tracer = subprocess.Popen(
            [
                "strace",
                "-f",
                "-p",
                str(listener.process.pid),
                "-o",
                str(trace),
                "-s",
                "4096",
                "-e",
                "trace=%file,/.*at,statx",
            ],
            stderr=subprocess.PIPE,
        )
        assert tracer.stderr is not None and b"attached" in tracer.stderr.readline()

        def all_kinds() -> list[str]:
            results = [outcome(listener.path) for _ in range(50)]
            with Front(listener.path) as front:
                front.request(magic=0)
                results.append(front.refusal())
            return results

        assert run(change, all_kinds) == ["FORKED"] * 50 + ["BAD_REQUEST"]
        listener.status()
        tracer.terminate()
        tracer.wait(DEADLINE)
        tracer.stderr.close()
    calls = [line for line in trace.read_text().splitlines() if "(" in line and "---" not in line and "+++" not in line]
    paths = {path for line in calls for path in re.findall(r'"((?:[^"\\]|\\.)*)"', line)}
    assert len(calls) > 1000 and f"{cgroup.name}/cgroup.procs" in paths
    strange = [path for path in paths if not any(re.fullmatch(ours, path) for ours in PATHS_OF_OURS)]
    assert strange == [] and "inister" not in "".join(calls)


def test_unix_names_of_users_need_no_lookup(system: Listener) -> None:
    """No library is loaded beside libc."""
    maps = Path(f"/proc/{system.process.pid}/maps").read_text()
    files = {Path(line.split()[-1]).name for line in maps.splitlines() if line.split()[-1].startswith("/")}
    assert {name for name in files if ".so" in name} <= {"libc.so.6", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}
