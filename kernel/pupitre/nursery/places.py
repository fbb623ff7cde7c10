# SPDX-License-Identifier: BSD-3-Clause
"""Where nurseries are: the same for who starts one, who asks or ends one, and for kernels (kernel/front/nursery.c).

$PUPITRE_NURSERY names one place, for all of them. Without it a user's own nursery is in the runtime directory, where
there is one, else in the home; those who ask try both, and then the nursery of the machine.
"""

from __future__ import annotations

import os
import socket
import stat
import struct

from pupitre.nursery import messages


def named() -> str | None:
    """What the variable says, "" for "off"; None: it is not set."""
    value = os.environ.get(messages.SOCKET_VARIABLE)
    return "" if value == "off" else value


def runtime_folders() -> list[str]:
    """Where the runtime directory may be: where its variable says, and where systemd puts it."""
    folders = [os.environ.get("XDG_RUNTIME_DIR", ""), messages.RUNTIME_FOLDERS + str(os.geteuid())]
    return [folder for folder in folders if folder.startswith("/")]


def home() -> str:
    """The user's home; "" where it is not known."""
    folder = os.environ.get("HOME", "")
    return folder if folder.startswith("/") else ""


def in_home() -> str:
    """The socket there, with the machine's name, since several may have the same home."""
    return os.path.join(home(), f"{messages.HOME_SOCKET}{os.uname().nodename}.sock")


def of_ones_own() -> list[str]:
    """The sockets that a nursery of this user's own may have."""
    return [*(os.path.join(folder, messages.SOCKET) for folder in runtime_folders()), *([in_home()] if home() else [])]


def to_ask() -> list[str]:
    """The sockets to try, in the order of kernels; none where the variable is off."""
    name = named()
    if name is not None:
        return [name] if name else []
    return [*of_ones_own(), messages.SYSTEM_SOCKET]


def is_private(folder: str) -> bool:
    """Whether it is there and nobody else may write in it."""
    try:
        found = os.stat(folder)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022


def to_listen() -> str | None:
    """Where a user's own nursery listens unless it is told; None where there is no place for it."""
    for folder in runtime_folders():
        if is_private(folder):
            return os.path.join(folder, messages.SOCKET)
    return in_home() if home() and is_private(home()) else None


def listener_of(peer: socket.socket) -> tuple[int, int]:
    """Pid and user of who listens where this is connected."""
    pid, uid, _ = struct.unpack("iII", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("iII")))
    return pid, uid
