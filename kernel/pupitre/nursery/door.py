# SPDX-License-Identifier: BSD-3-Clause
"""What pupitre-nursery is given open: the socket that it listens at, systemd's ear, and the scribe's."""

from __future__ import annotations

import fcntl
import os
import socket
import stat
import subprocess

from pupitre.nursery import places, trust
from pupitre.nursery.settings import SOCKET_PATH_MAX, Wrong

BACKLOG = 4096
DOOR_FD, NOTIFY_FD, SCRIBE_FD = 0, 3, 4  # as kernel/nursery/listener/listener.h has them
FREE_FD = 10  # from here on descriptors are nobody's


class Shut(Wrong):
    """Somebody listens there already, or the folder or what is in it will not do."""


def make_folder(path: str, mode: int) -> None:
    """Make a folder unless it is there; its parent must be. Raises Wrong."""
    try:
        os.mkdir(path, mode)
        os.chmod(path, mode)  # whatever the umask
    except FileExistsError:
        pass
    except OSError as error:
        raise Wrong(f"cannot make the folder {path}: {error.strerror}") from None


def is_stale(name: str) -> bool:
    """Whether nobody listens at a socket any more."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK) as peer:
        try:
            peer.connect(name)
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
        # Of one that was killed it stays open for as long as an usher does that it had just forked.
        pid = places.listener_of(peer)[0]
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass
        return False


def remove_stale(name: str, path: str) -> None:
    """Of what is there already only a socket of ours is removed at which nobody listens any more. Raises Shut."""
    try:
        found = os.lstat(name)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode) or found.st_uid != os.geteuid():
        raise Shut(f"{path} is there already and no socket of ours")
    if not is_stale(name):
        raise Shut(f"somebody already listens at {path}")
    os.unlink(name)


def is_sticky(folder: str) -> bool:
    """Whether nobody can replace what is somebody else's there."""
    return os.path.isdir(folder) and bool(os.lstat(folder).st_mode & stat.S_ISVTX)


def enter(folder: str, mode: int) -> None:
    """Make a folder our current directory: one in which nobody but us and root can change anything, nor above it."""
    owners, above = (0, os.geteuid()), os.path.dirname(folder)
    spot = None
    if not os.path.lexists(folder):
        spot = trust.weak_spot(above, owners)
        if spot is None or is_sticky(above):
            make_folder(folder, mode)
            spot = None
    if spot is None:
        os.chdir(folder)
        found = os.stat(".")
        if found.st_uid != os.geteuid() or found.st_mode & 0o022 or not os.path.samestat(found, os.stat(folder)):
            spot = f"{folder} belongs to another user, or others may write in it"
    spot = spot or trust.weak_spot(folder, owners)
    if spot is not None:
        raise Shut(f"{folder} will not do, because others could replace the socket in it: {spot}")


def open_door(path: str, system: bool) -> socket.socket:
    """Listen, in a folder that nobody but us may change and where we stay. Raises Wrong."""
    folder, name = os.path.split(path)
    if not name or len(os.fsencode(name)) > SOCKET_PATH_MAX:
        raise Shut(f"{path}: not the path of a socket")
    try:
        enter(folder, 0o755 if system else 0o700)
        remove_stale(name, path)
        door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        umask = os.umask(0o111 if system else 0o177)
        try:
            door.bind(name)
        finally:
            os.umask(umask)
        door.listen(BACKLOG)
    except OSError as error:
        raise Wrong(f"cannot listen at {path}: {error.strerror or error}") from None
    return door


def notifier() -> socket.socket | None:
    """Connected to whoever wants to know when the nursery is ready, if anybody does: sd_notify(3)."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return None
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        peer.connect("\0" + path[1:] if path.startswith("@") else path)
    except OSError:
        peer.close()
        return None
    return peer


def make_scribe(program: str, log_level: str, system: bool) -> socket.socket:
    """A connection to pupitre-scribe, which ends with it. In the nursery of the machine it becomes nobody."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    words = [program, log_level, *(["nobody"] if system else [])]
    subprocess.Popen(words, stdin=theirs.fileno(), stdout=subprocess.DEVNULL, env={}, cwd="/")
    theirs.close()
    return ours


def hand_over(door: socket.socket, systemd: socket.socket | None, scribe: socket.socket | None) -> None:
    """Put them where pupitre-nursery expects them; where there is nobody something that hears nothing."""
    nothing = os.open(os.devnull, os.O_RDWR)
    given = {DOOR_FD: door, NOTIFY_FD: systemd, SCRIBE_FD: scribe}
    copies = {
        number: fcntl.fcntl(peer.fileno() if peer else nothing, fcntl.F_DUPFD_CLOEXEC, FREE_FD)
        for number, peer in given.items()
    }
    for number, copy in copies.items():
        os.dup2(copy, number)
