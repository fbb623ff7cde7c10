# SPDX-License-Identifier: BSD-3-Clause
"""The file names of cells: <a folder of this user's>/ipykernel_<pid>/<hash>.py, as clients and libraries know them.

JupyterLab's debugger computes the hash by itself, numba's cache looks for "ipykernel_" in the folder's name, and
warnings and SyntaxErrors show the name. The hash is MurmurHash2 of the cell as typed. (IPython's own naming would load
OpenSSL for its SHA-1.)

There is no such file, but Python and IPython try to open it whenever they show an error. So it must be where nobody
else can put one: not below /tmp, where ipykernel has it. docs/decisions/017.
"""

import os
import stat
from collections.abc import Iterator
from inspect import modulesbyfile
from struct import iter_unpack

from IPython.core.compilerop import CachingCompiler

from .unseen import unseen_methods

HASH_SEED = 0xC70F6907
_MASK = 0xFFFFFFFF
_FACTOR = 0x5BD1E995
_NOWHERE = "/proc/self"  # nobody can make anything there
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH  # an access list that lets somebody write shows in the group's bit

_place = ""  # where the folder pretends to be; "": nobody has asked yet


def murmur2(data: bytes, seed: int) -> int:
    """MurmurHash2, 32 bits."""
    value = seed ^ len(data)
    whole = len(data) & ~3
    for (word,) in iter_unpack("<I", data[:whole]):
        word = word * _FACTOR & _MASK
        value = (value * _FACTOR & _MASK) ^ ((word ^ word >> 24) * _FACTOR & _MASK)
    if len(data) > whole:
        value = (value ^ int.from_bytes(data[whole:], "little")) * _FACTOR & _MASK
    value = (value ^ value >> 13) * _FACTOR & _MASK
    return value ^ value >> 15


def forget_place() -> None:
    """This process has become another user's."""
    global _place
    _place = ""


def cell_folder() -> str:
    """Where cells pretend to be. The folder need not exist, but nobody else can make it."""
    global _place
    if not _place:
        _place = next(filter(_is_ours, map(os.path.realpath, _runtime_folders())), _NOWHERE)
    return f"{_place}{os.sep}ipykernel_{os.getpid()}"


def _runtime_folders() -> Iterator[str]:
    """The user's, and Jupyter's as kernel/front/connfile.c finds it."""
    for name, below in (
        ("XDG_RUNTIME_DIR", ""),
        ("JUPYTER_RUNTIME_DIR", ""),
        ("JUPYTER_DATA_DIR", "/runtime"),
        ("XDG_DATA_HOME", "/jupyter/runtime"),
        ("HOME", "/.local/share/jupyter/runtime"),
    ):
        folder = os.environ.get(name, "")
        if folder.startswith(os.sep) and folder.isprintable():
            yield folder + below


def _is_ours(place: str) -> bool:
    """Whether nobody but this user and root can make or replace anything on the way to `place`, which need not exist.

    A sticky folder does not do: what this user makes in it may be removed one day, and made again by somebody else.
    """
    trusted = (0, os.geteuid())
    while True:
        try:
            found = os.lstat(place)
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError:
            return False
        else:
            if found.st_uid not in trusted or found.st_mode & _OTHERS_WRITE or not stat.S_ISDIR(found.st_mode):
                return False
        if place == os.sep:
            return True
        place = os.path.dirname(place)


def cell_name(code: str) -> str:
    """The name of a cell with this source, $IPYKERNEL_CELL_NAME if set."""
    fixed = os.environ.get("IPYKERNEL_CELL_NAME")
    if fixed is not None:
        return fixed
    return f"{cell_folder()}{os.sep}{murmur2(code.encode('utf-8', 'surrogatepass'), HASH_SEED)}.py"


@unseen_methods
class CellCompiler(CachingCompiler):
    """IPython's compiler with these names."""

    def get_code_name(self, raw_code: str, transformed_code: str, number: int) -> str:
        return cell_name(raw_code)

    def cache(self, transformed_code: str, number: int = 0, raw_code: str | None = None) -> str:
        name: str = super().cache(transformed_code, number, raw_code)
        # Or inspect asks all modules for each line of a traceback: seconds, where there are thousands of both.
        modulesbyfile[name] = "__main__"
        return name


CellCompiler.__module__ = "ipykernel.compiler"
CellCompiler.__name__ = CellCompiler.__qualname__ = "XCachingCompiler"
