# SPDX-License-Identifier: BSD-3-Clause
"""`pupitre nursery stop`: end a nursery that somebody started by hand, and say so when it has ended.

The signal is SIGTERM, and Linux decides whether we may send it: as the user whose nursery it is, or root.
"""

from __future__ import annotations

import argparse
import os
import select
import signal
import socket
import sys

from pupitre.nursery import places, status
from pupitre.nursery.status import EXIT_NOT_READY, Unreachable

HELP = "end the nursery; kernels that it forked live on, and new ones start cold"
DEADLINE = 10.0  # seconds
SO_PEERPIDFD = 77  # Linux 6.5


def process_of(peer: socket.socket) -> int:
    """A pidfd of who listens there. Raises OSError."""
    try:
        return peer.getsockopt(socket.SOL_SOCKET, SO_PEERPIDFD)
    except OSError:
        pass
    pid, uid = places.listener_of(peer)
    pidfd = os.pidfd_open(pid)
    if os.stat(f"/proc/{pid}").st_uid != uid:  # it ended, and somebody else has its number
        os.close(pidfd)
        raise ProcessLookupError
    return pidfd


def connect(given: str | None) -> tuple[socket.socket, str]:
    """A connection to the nursery that is named, else to this user's own, and its path. Raises Unreachable."""
    if given is not None or places.named() is not None:
        return status.connect(given)
    for path in places.of_ones_own():
        try:
            peer, _ = status.connect(path)
        except Unreachable:
            continue
        if places.listener_of(peer)[1] == os.geteuid():
            return peer, path
        peer.close()
    tried = " or ".join(dict.fromkeys(places.of_ones_own()))
    raise Unreachable(f"no nursery of yours listens at {tried}; that of the machine: pupitre nursery stop --system")


def end(pidfd: int, path: str) -> str:
    """Why it has not ended; "": it has."""
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGTERM)
    except ProcessLookupError:
        return ""
    except PermissionError:
        return f"the nursery at {path} is not yours: only root and the user who started it may end it"
    if not select.select([pidfd], [], [], DEADLINE)[0]:
        return f"the nursery at {path} did not end within {DEADLINE:.0f} s"
    return ""


def run(given: str | None, _: argparse.Namespace) -> int:
    """The command; its exit status."""
    try:
        peer, path = connect(given)
    except Unreachable as error:
        return status.tell_unreachable(error)
    with peer:
        try:
            pidfd = process_of(peer)
        except OSError as error:
            return status.tell_unreachable(Unreachable(f"the nursery at {path} is gone: {error.strerror or error}"))
    try:
        trouble = end(pidfd, path)
    finally:
        os.close(pidfd)
    if trouble:
        print(f"pupitre nursery: {trouble}", file=sys.stderr)
        return EXIT_NOT_READY
    print(f"{path}: ended; kernels that it forked live on")
    return 0
