# SPDX-License-Identifier: BSD-3-Clause
"""Unix users of the machine, made for a test run and removed after it. Needs root."""

from __future__ import annotations

import fcntl
import os
import pwd
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

NAMES = ("pupitre-test-1", "pupitre-test-2", "pupitre-test-3")
GROUP = "pupitre-test-class"
FIRST_UID, LAST_UID = 47000, 47999  # nobody else's, as all their processes are killed in the end
LOCK = Path("/run/lock/pupitre-test-users")


@dataclass(frozen=True)
class Account:
    """One of them, as the system knows it."""

    name: str
    uid: int
    gid: int
    home: Path

    def groups(self) -> set[int]:
        """The primary group and the others."""
        return set(os.getgrouplist(self.name, self.gid))

    def processes(self) -> list[int]:
        """The pids that run with its uid, zombies left out, and what is in a container with users of its own."""
        found, here = [], os.stat("/proc/self/ns/pid")
        for status in Path("/proc").glob("[0-9]*/status"):
            try:
                lines = dict(line.split(":\t", 1) for line in status.read_text().splitlines() if ":\t" in line)
                near = os.path.samestat((status.parent / "ns/pid").stat(), here)
            except OSError:
                continue
            if str(self.uid) in lines["Uid"].split() and near and lines["State"][0] != "Z":
                found.append(int(status.parent.name))
        return found


def _run(*command: str, may_fail: bool = False) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert may_fail or done.returncode == 0, f"{' '.join(command)}: {done.stderr.strip()}"


def _end_processes(account: Account) -> None:
    """Kill what is left of a user who exists for this test only, until nothing is."""
    deadline = time.monotonic() + 10
    while pids := account.processes():
        assert time.monotonic() < deadline, f"{account.name} still has processes: {pids}"
        for pid in pids:
            try:
                pidfd = os.pidfd_open(pid)
            except ProcessLookupError:
                continue
            try:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            except ProcessLookupError:
                pass
            finally:
                os.close(pidfd)


def _lookup(name: str) -> Account | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return Account(name, entry.pw_uid, entry.pw_gid, Path(entry.pw_dir))


def _remove() -> None:
    """Whatever there is of them, be it of a run that was killed."""
    for name in NAMES:
        if account := _lookup(name):
            _end_processes(account)
            _run("userdel", "--remove", name, may_fail=True)
            assert _lookup(name) is None, f"cannot remove {name}"
    _run("groupdel", GROUP, may_fail=True)


@contextmanager
def accounts(base: Path) -> Iterator[list[Account]]:
    """Make the users, with home directories below `base`, the first in GROUP, too. Runs on one machine take turns."""
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _remove()
        try:
            _run("groupadd", GROUP)
            place = ["--base-dir", str(base), "--key", f"UID_MIN={FIRST_UID}", "--key", f"UID_MAX={LAST_UID}"]
            for name in NAMES:
                _run("useradd", "--create-home", *place, "--shell", "/bin/bash", name)
            _run("usermod", "--append", "--groups", GROUP, NAMES[0])
            made = [_lookup(name) for name in NAMES]
            yield [account for account in made if account]
        finally:
            _remove()
