# SPDX-License-Identifier: BSD-3-Clause
"""Whether somebody else than root can change what root is about to run, and a guard that asks so of each file of code
before it is run.

Needs nothing but what is compiled into the interpreter: `pupitre-template` has this text in it and runs it before
Python reads its first file, and preflight.py hands it to an interpreter that has not run its site module.
"""

import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

ACCOUNTS, GROUPS, SERVICES = "/etc/passwd", "/etc/group", "/etc/nsswitch.conf"
SYSTEM_GROUPS_END = 1000  # people have groups from here on
LISTED = ("files", "systemd")  # services that know no accounts but those in the files, and processes of the system
LINKS_MAX = 40
OTHERS_WRITE, GROUP_WRITES, STICKY = 0o002, 0o020, 0o1000
FORMAT, LINK = 0o170000, 0o120000


def read(path: str) -> str:
    """A small file of the system's; "" if it cannot be read."""
    try:
        file = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:
        return ""
    pieces = []
    while piece := posix.read(file, 65536):
        pieces.append(piece)
    posix.close(file)
    return b"".join(pieces).decode("ascii", "replace")


def rows(path: str) -> "list[list[str]]":
    return [line.split(":") for line in read(path).splitlines() if line and line[0] != "#"]


def lists_all() -> bool:
    """Whether all accounts are in the files, and no directory service knows more."""
    for name, *words in rows(SERVICES):
        if name.strip() in ("passwd", "group", "initgroups") and any(
            word not in LISTED for word in words[0].split() if word[0] not in "[#"
        ):
            return False
    return all(row[0][:1] not in "+-" for row in rows(ACCOUNTS) + rows(GROUPS))  # NIS


def group_can(gid: int) -> bool:
    """Whether a group may have anybody in it but root: as a member, or because it is an account's own."""
    if gid >= SYSTEM_GROUPS_END:
        return True
    if not lists_all():
        return gid != 0
    number = str(gid)
    groups = [row for row in rows(GROUPS) if row[2:3] == [number]]
    if not groups and gid != 0:
        return True
    members = {name for row in groups for name in row[3].split(",")} - {"", "root"}
    return bool(members) or any(row[3] == number and row[2] != "0" for row in rows(ACCOUNTS))


def has_access_list(path: str) -> bool:
    try:
        posix.getxattr(path, "system.posix_acl_access", follow_symlinks=False)
    except OSError:
        return False
    return True


def writer(path: str, status: "posix.stat_result") -> "str | None":
    """Who else than its owner may write there, in words."""
    if status.st_mode & OTHERS_WRITE:
        return f"{path} can be written by everybody"
    if status.st_mode & GROUP_WRITES:  # of a file with an access list, the bit of all whom it names
        if has_access_list(path):
            return f"{path} has an access list that lets others write"
        if group_can(status.st_gid):
            return f"{path} can be written by group {status.st_gid}"
    return None


def weak_spot(path: str, owners: "tuple[int, ...]" = (0,)) -> "str | None":
    """What of an absolute path, links and what they lead to included, somebody else than `owners` can change, with the
    reason; None without one. What does not exist must be where nobody else can make it.
    """
    left, here, links = path.split("/")[::-1], "", 0
    folder = posix.lstat("/")
    while left:
        part = left.pop()
        if part == "..":
            here = here[: here.rfind("/")] if here else ""
            folder = posix.lstat(here or "/")
        if part in ("", ".", ".."):
            continue
        entry = f"{here}/{part}"
        try:
            status = posix.lstat(entry)
        except OSError:
            return writer(here or "/", folder)
        # Root's entry in a sticky folder nobody else can replace.
        if not folder.st_mode & STICKY and (found := writer(here or "/", folder)):
            return found
        if status.st_uid not in owners:
            return f"{entry} belongs to user {status.st_uid}"
        if status.st_mode & FORMAT != LINK:
            here, folder = entry, status
            continue
        links += 1
        target = posix.readlink(entry)
        if links > LINKS_MAX:
            return f"{path} has too many links in it"
        if target[0] == "/":
            here, folder = "", posix.lstat("/")
        left += target.split("/")[::-1]
    return writer(here or "/", folder)


# --- the guard, in a process that runs code as root ---

refused = ""  # the first thing that was
_load: "Callable[..., Any]"


def check(path: str) -> None:
    """PermissionError where somebody else than root can change the file or folder `path`."""
    global refused
    spot = weak_spot(path if path[:1] == "/" else f"{posix.getcwd()}/{path}")
    if spot is not None:
        refused = refused or f"root would run what others can change: {spot}"
        raise PermissionError(refused)


def check_mapped() -> None:
    """The program, and all libraries that are loaded."""
    for line in read("/proc/self/maps").splitlines():
        _, access, *_, path = f"{line} ".split(" ", 5)
        path = path.strip()
        if "x" in access and path[:1] == "/" and path[:7] != "/memfd:":
            check(path)


def begin() -> None:
    """Look at what decides what will be read, and from now on at each library that is imported."""
    import _imp
    import sys

    global _load
    check_mapped()
    folder = sys.executable[: sys.executable.rindex("/")]
    for path in (sys.executable, f"{folder}/pyvenv.cfg", f"{folder}/../pyvenv.cfg"):
        check(path)
    check(posix.environ[b"HOME"].decode())
    _load = _imp.create_dynamic
    _imp.create_dynamic = load


def load(spec: "Any", *rest: "Any") -> "Any":
    """In the place of _imp.create_dynamic."""
    check(spec.origin)
    return _load(spec, *rest)


def end() -> str:
    """Stop looking. What was refused, also if somebody caught the error, or is not root's alone only now; else ""."""
    import _imp
    import sys

    _imp.create_dynamic = _load
    try:
        check_mapped()
        for path in sys.path:
            if path:
                check(path)
    except PermissionError:
        pass
    globals().pop("check")  # which C calls for each file as long as it is there
    return refused
