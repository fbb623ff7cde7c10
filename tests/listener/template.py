#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Stands in for pupitre-template: takes orders on descriptor 3 as it does, and forks children that wait for signals.

SETTINGS is the path of a folder. In it, `log` gets one line of JSON for each thing that happens, and files say how to
behave. Each is looked for when it matters, so that a test may change its mind:
  unfit         report UNFIT with this status, 0 for trouble of the moment, and text
  die-building  end before READY
  slow          wait for this fifo before READY
  die-ordered   end when an order comes
  hang          never answer an order
  hold          wait for the fifo `go` before answering an order
  stale         answer it with FAILED, STALE
  nonsense      answer it with garbage
  unplaced      the child never says that it has become its user's
  set-uid       the child is root's, as after exec of a set-user-id program
  root-in-group it has a child in its group that is
  exec-UID      the child of that user opens the file of this name, which its exec closes
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import socket
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from messages import FDS, MAGIC, ORDER_HEAD, REPORT, VERSION, Op, Placement, Reason, receive, send

FOLDER = Path(sys.argv[1])
OPEN = sorted(name for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}"))  # not its own


def note(what: str, **more: object) -> None:
    line = json.dumps({"what": what, "pid": os.getpid(), **more}) + "\n"
    fd = os.open(FOLDER / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.write(fd, line.encode())
    os.close(fd)


def wants(name: str) -> bool:
    return (FOLDER / name).exists()


def wait_for(fifo: str) -> None:
    """Until a test has written to it."""
    with open(FOLDER / fifo, "rb") as file:
        file.read(1)


def report(sock: socket.socket, op: Op, ident: int = 0, pid: int = 0, status: int = 0, reason: int = 0, text: str = "",
           usage: tuple[int, int, int] = (0, 0, 0), fd: int = -1) -> None:  # fmt: skip
    data = REPORT.pack(MAGIC, VERSION, op, ident, pid, status, reason, 0, 1234, *usage, text.encode())
    send(sock, data, [fd] if fd >= 0 else None)


def child(hand: int, placement: Placement) -> None:
    """SIGUSR1 ends it with status 7, others as they do."""
    signal.set_wakeup_fd(-1)
    os.closerange(3, hand)
    os.setsid()
    if wants("root-in-group") and os.fork() == 0:
        os.closerange(hand, 4096)
        note("of root", member=os.getpid())
        signal.sigwait([signal.SIGUSR1])
    if not placement.keep_identity and not wants("set-uid"):
        os.setgroups([])
        os.setresgid(*[placement.gid] * 3)
        os.setresuid(*[placement.uid] * 3)
    os.closerange(hand + wants("unplaced"), 4096)
    if wants(f"exec-{placement.uid}"):
        os.set_inheritable(os.open((FOLDER / f"exec-{placement.uid}").read_text(), os.O_RDONLY), False)
        os.execv("/bin/true", ["true"])
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.sigwait([signal.SIGUSR1])
    os._exit(7)


def serve_order(sock: socket.socket, data: bytes, fds: list[int], live: set[int]) -> None:
    magic, version, op, ident, caller, reserved = ORDER_HEAD.unpack_from(data)
    placement = Placement.parse(data[ORDER_HEAD.size :])
    assert (magic, version, op, reserved) == (MAGIC, VERSION, Op.FORK, 0)
    assert len(fds) == 1 + placement.cgroup_count
    with socket.socket(fileno=os.dup(fds[0])) as hand:
        byte, theirs = receive(hand)
    assert (len(byte), len(theirs)) == (1, FDS)
    names = [os.readlink(f"/proc/self/fd/{fd}") for fd in theirs + fds[1:]]
    for fd in theirs:
        os.close(fd)
    note("order", id=ident, caller=caller, fds=names, cpus=sorted(placement.cpus), **{
        name: value for name, value in vars(placement).items() if name != "cpus"
    })  # fmt: skip
    if wants("die-ordered"):
        os._exit(9)
    if wants("hang"):
        note("hangs")
        return
    if wants("hold"):
        note("held")
        wait_for("go")
    if wants("stale"):
        report(sock, Op.FAILED, ident, reason=Reason.STALE)
        return
    if wants("nonsense"):
        sock.send(b"what?")
        return
    pid = os.fork()
    if pid == 0:
        child(fds[0], placement)
    live.add(pid)
    pidfd = os.pidfd_open(pid)
    report(sock, Op.FORKED, ident, pid=pid, fd=pidfd)
    os.close(pidfd)
    note("forked", worker=pid)


def reap(sock: socket.socket, live: set[int]) -> None:
    while live:
        pid, status, used = os.wait4(-1, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
        if pid == 0:
            return
        if os.WIFEXITED(status) or os.WIFSIGNALED(status):
            live.discard(pid)
        try:
            report(sock, Op.CHANGED, pid=pid, status=status, usage=(int(used.ru_utime * 1e6), 0, used.ru_maxrss))
        except OSError:
            pass


def main() -> None:
    sock = socket.socket(fileno=3)
    status = Path("/proc/self/status").read_text()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])  # children wait for it, from their first moment
    wake, bell = os.pipe()
    os.set_blocking(bell, False)
    signal.set_wakeup_fd(bell, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    files = {fd: os.readlink(f"/proc/self/fd/{fd}") for fd in map(int, os.listdir("/proc/self/fd")) if fd < 4}
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    words = Path("/proc/self/environ").read_text().split("\0")[:-1]  # before Python added to it
    environment = dict(word.split("=", 1) for word in words)
    note("start", environment=environment, fds=files, cwd=os.getcwd(), pgid=os.getpgid(0), nofile=limits,
         open=OPEN, ignored=status.split("SigIgn:\t")[1][:16], blocked=status.split("SigBlk:\t")[1][:16])  # fmt: skip
    if wants("die-building"):
        os._exit(3)
    if wants("slow"):
        note("slow")
        wait_for("slow")
    if wants("unfit"):
        mistake, _, text = (FOLDER / "unfit").read_text().partition(" ")
        report(sock, Op.UNFIT, status=int(mistake), text=text)
        os._exit(4)
    report(sock, Op.READY, text=f"fingerprint {os.getpid()}")
    note("ready")
    live: set[int] = set()
    orders = True
    while orders or live:
        readable, _, _ = select.select([wake, sock] if orders else [wake], [], [])
        if wake in readable:
            os.read(wake, 4096)
            reap(sock, live)
        if sock in readable:
            data, fds = receive(sock)
            if data:
                serve_order(sock, data, fds, live)
            else:
                orders = False
            for fd in fds:
                os.close(fd)
    note("end")


main()
