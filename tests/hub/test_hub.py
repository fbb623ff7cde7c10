# SPDX-License-Identifier: BSD-3-Clause
"""Students of one machine, each with a kernel from the Hub: it answers, it is theirs, and it is nobody else's."""

from __future__ import annotations

import os
import select
from pathlib import Path

import pytest
from classroom import Classroom
from hub import Kernel

pytestmark = pytest.mark.timeout(300)  # the first one waits for Hub, servers and nursery

WHO = """
import os
value = {
    "pid": os.getpid(), "uids": os.getresuid(), "gids": os.getresgid(), "groups": os.getgroups(),
    "cwd": os.getcwd(), "home": os.environ["HOME"], "user": os.environ["USER"], "expanded": os.path.expanduser("~"),
}
"""

REFUSED = """
import os
try:
    {}
    value = False
except PermissionError:
    value = True
"""


def status(pid: int) -> dict[str, list[str]]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: rest.split() for key, _, rest in (line.partition(":") for line in lines)}


def ended(pidfd: int, seconds: float = 20) -> bool:
    """Wait until the process has."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def pid_of(kernel: Kernel) -> int:
    return kernel.value("import os; value = os.getpid()")


def test_each_kernel_answers(kernels: list[Kernel]) -> None:
    """All at once, each with its own result."""
    sent = [kernel.begin(f"print('here'); {100 + number} * 2") for number, kernel in enumerate(kernels)]
    for number, (kernel, msg_id) in enumerate(zip(kernels, sent, strict=True)):
        outcome = kernel.finish(msg_id)
        assert outcome.reply["status"] == "ok"
        assert outcome.text == "here\n"
        assert [bundle["text/plain"] for bundle in outcome.data] == [str(2 * (100 + number))]


def test_a_data_frame_is_shown(kernels: list[Kernel]) -> None:
    for kernel in kernels:
        outcome = kernel.run("import pandas; pandas.DataFrame({'name': [1, 2]})")
        assert "<table" in outcome.data[0]["text/html"]


def test_a_plot_is_shown(kernels: list[Kernel]) -> None:
    for kernel in kernels:
        outcome = kernel.run("import matplotlib.pyplot as plt; plt.plot([1, 2]); plt.show()")
        assert any("image/png" in bundle for bundle in outcome.data), kernel.trace


def test_each_worker_is_born_as_it_should(classroom: Classroom, kernels: list[Kernel]) -> None:
    for kernel in kernels:
        classroom.check_birth(pid_of(kernel))


def test_each_worker_is_its_user(kernels: list[Kernel]) -> None:
    """What Python says in a cell, and what the system says of the process."""
    for kernel in kernels:
        user = kernel.student.account
        inside = kernel.value(WHO)
        assert inside["uids"] == [user.uid] * 3
        assert inside["gids"] == [user.gid] * 3
        assert set(inside["groups"]) | {user.gid} == user.groups()
        assert inside["cwd"] == inside["home"] == inside["expanded"] == str(user.home)
        assert inside["user"] == user.name

        pid = inside["pid"]
        outside = status(pid)
        assert outside["Name"] == ["pupitre-worker"]
        assert outside["Uid"] == [str(user.uid)] * 4
        assert outside["Gid"] == [str(user.gid)] * 4
        assert {int(gid) for gid in outside["Groups"]} | {user.gid} == user.groups()
        assert Path(os.readlink(f"/proc/{pid}/cwd")) == user.home
        for capabilities in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            assert int(outside[capabilities][0], 16) == 0, capabilities


def test_the_worker_is_in_its_servers_cgroup(kernels: list[Kernel]) -> None:
    """Whatever limits the Hub's spawner set up hold for the cells, too."""
    for kernel in kernels:
        worker, server = kernel.value("import os; value = [os.getpid(), int(os.environ['JPY_PARENT_PID'])]")
        assert Path(f"/proc/{worker}/cgroup").read_text() == Path(f"/proc/{server}/cgroup").read_text()
        assert Path(f"/proc/{worker}/limits").read_text() == Path(f"/proc/{server}/limits").read_text()
        assert os.readlink(f"/proc/{worker}/ns/mnt") == os.readlink(f"/proc/{server}/ns/mnt")


def test_what_a_cell_writes_is_the_users(kernels: list[Kernel]) -> None:
    for kernel in kernels:
        user = kernel.student.account
        kernel.run("open('mine.txt', 'w').write('written in a cell')\n!echo more >mine-too.txt")
        for name in ("mine.txt", "mine-too.txt"):
            made = (user.home / name).stat()
            assert (made.st_uid, made.st_gid) == (user.uid, user.gid)


def test_nobody_reaches_the_others(kernels: list[Kernel]) -> None:
    """Neither their files nor their processes."""
    for kernel in kernels:
        for other in kernels:
            if other is kernel:
                continue
            secret = other.student.account.home / "secret.txt"
            secret.touch(mode=0o600)
            os.chown(secret, other.student.account.uid, other.student.account.gid)
            other_pid = pid_of(other)
            attempts = [
                f"open({str(secret)!r})",
                f"os.kill({other_pid}, 0)",
                f"open('/proc/{other_pid}/environ').read()",
                f"open('/proc/{other_pid}/mem')",
                "os.setuid(0)",
                f"os.setuid({other.student.account.uid})",
                "os.setgroups([])",
            ]
            for attempt in attempts:
                assert kernel.value(REFUSED.format(attempt)) is True, attempt


def test_randomness_differs(kernels: list[Kernel]) -> None:
    code = (
        "import random, uuid, tempfile, secrets, numpy, multiprocessing\n"
        "value = [random.random(), numpy.random.random(), str(uuid.uuid4()), secrets.token_hex(),"
        " tempfile.mktemp(), multiprocessing.current_process().authkey.hex()]"
    )
    for values in zip(*(kernel.value(code) for kernel in kernels), strict=True):
        assert len(set(values)) == len(kernels), values


def test_stop_stops(kernels: list[Kernel]) -> None:
    for kernel in kernels:
        running = kernel.begin("print('begun', flush=True)\nimport time; time.sleep(600)")
        while kernel.receive(running)["msg_type"] != "stream":
            pass
        kernel.interrupt()
        assert kernel.finish(running).reply["ename"] == "KeyboardInterrupt"
        assert kernel.run("'still here'").data[0]["text/plain"] == "'still here'"


def test_restart_gives_a_new_worker(classroom: Classroom) -> None:
    """Of the same user, without what the old one knew."""
    for kernel in classroom.start_kernels():
        before = kernel.value("import os; kept = 1; value = os.getpid()")
        kernel.restart()
        after = kernel.value("import os; assert 'kept' not in globals(); value = os.getpid()")
        assert after != before
        classroom.check_birth(after)
        assert status(after)["Uid"] == [str(kernel.student.account.uid)] * 4
        kernel.shut_down()


def test_a_kernel_starts_where_its_notebook_is(classroom: Classroom) -> None:
    for student in classroom.students:
        folder = student.account.home / "course"
        folder.mkdir(exist_ok=True)
        os.chown(folder, student.account.uid, student.account.gid)
        kernel = student.start_kernel(path="course/page.ipynb")
        assert kernel.value("import os; value = os.getcwd()") == str(folder)
        kernel.shut_down()


def test_shutdown_leaves_nothing(classroom: Classroom) -> None:
    """Of the kernel, not of the user's others."""
    for kernel in classroom.start_kernels():
        pid = pid_of(kernel)
        worker = os.pidfd_open(pid)
        kernel.shut_down()
        assert ended(worker)
        os.close(worker)


def test_kernels_do_not_need_the_nursery(classroom: Classroom, kernels: list[Kernel]) -> None:
    """Those that live outlive it; those that come start cold."""
    classroom.end_nursery()
    for kernel in kernels:
        assert kernel.value("value = 6 * 7") == 42
    for kernel in classroom.start_kernels():
        classroom.check_birth(pid_of(kernel))
        assert kernel.value("value = 6 * 7") == 42
        kernel.shut_down()


def test_a_stopped_server_leaves_nothing(classroom: Classroom, kernels: list[Kernel]) -> None:
    """No process of its user: not the kernels that were running either. The last test: nothing is left for others."""
    for kernel in kernels:
        account = kernel.student.account
        processes = {pid: os.pidfd_open(pid) for pid in account.processes()}
        assert pid_of(kernel) in processes
        kernel.student.stop_server()
        for pid, pidfd in processes.items():
            assert ended(pidfd), f"process {pid} of {account.name} still runs"
            os.close(pidfd)
        assert account.processes() == []
