# SPDX-License-Identifier: BSD-3-Clause
"""The file names of cells: /tmp/ipykernel_<pid>/<hash>.py, as clients and libraries know them.

JupyterLab's debugger computes the hash by itself, numba's cache looks for "ipykernel_" in the folder's name, and
warnings and SyntaxErrors show the name. The hash is MurmurHash2 of the cell as typed. (IPython's own naming would load
OpenSSL for its SHA-1.)
"""

import os
from inspect import modulesbyfile
from struct import iter_unpack
from tempfile import gettempdir

from IPython.core.compilerop import CachingCompiler

from .unseen import unseen_methods

HASH_SEED = 0xC70F6907
_MASK = 0xFFFFFFFF
_FACTOR = 0x5BD1E995


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


def cell_folder() -> str:
    """Where cells pretend to be. The folder need not exist."""
    return f"{gettempdir()}{os.sep}ipykernel_{os.getpid()}"


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
