# SPDX-License-Identifier: BSD-3-Clause
"""The built-in module of pupitre-template: what it does to its own memory. docs/memory.md describes the tricks.

Each trick returns what it did as numbers, or, when it changed nothing, {"refused": why}. All of them are for a process
with one thread.
"""

from collections.abc import Sequence
from types import CodeType
from typing import Any

def tune_malloc() -> dict[str, str]:
    """One malloc arena, thresholds that stay where they are. As early as possible; inherited by children."""

def thp_off() -> dict[str, str]:
    """No transparent huge pages for this process and its children."""

def plug_holes() -> dict[str, int | str]:
    """Take every hole in memory that is partly used, and never give it back.

    blocks, block_bytes: of Python's small-object pools; chunks, chunk_bytes: of the C library's heap. May be called
    again; best after the last of the Python code that runs before the first fork.
    """

def immortalise(*, roots: Sequence[object] = (), mortal: Sequence[object] = ()) -> dict[str, int | str]:
    """Make all objects that the garbage collector knows, and what they refer to, immortal: CPython 3.12 to 3.14.

    Before gc.freeze, which hides objects from it. `roots`: further objects, which the collector does not know.
    `mortal`: objects that must stay as they are, as do those with a finaliser, frames and tracebacks.
    objects: how many became immortal; mortal: how many the collector knows that did not.
    """

def note_counters(objects: list[Any], probe: CodeType, layout: bytes, /) -> dict[str, int | str]:
    """Note where bytecode counts how often it ran, so that reshare() overlooks it. Before remap_heap, and once.

    objects: of them, and of what they refer to, all code objects are meant; these are never freed. probe: one of them.
    layout: of each opcode how many entries the cache behind the instruction has, 256 bytes, 255: not known; and
    which of them counts, 256 bytes more, 255: none. codes, counters, pages: how many there were.
    """

def remap_heap() -> dict[str, int | str]:
    """Replace the heap by private mappings of a sealed file in memory, so that fork copies no page tables. The last.

    mappings, pieces: how many were replaced, by how many; bytes: what the file holds.
    """

def reshare() -> dict[str, int | str]:
    """In a child at rest: drop the pages that hold again what the file of remap_heap holds, but for noted counters.

    looked_at: pages of its own that it had there; pages: how many it dropped.
    """

def list_copies() -> bytes:
    """In a child: the pages it has written to since it was forked, as pairs of addresses in native order. OSError."""

def expect_copies(ranges: bytes, /) -> dict[str, int | str]:
    """In the template: what list_copies of a child said, which workers copy at once when they are forked.

    ranges: how many.
    """

def copy_expected() -> None:
    """In a child that was just forked: copy those pages. `pupitre-template` has done it for every worker."""

def names_asked() -> list[bytes]:
    """Variables of the environment that libraries have asked the C library for until now; noted no longer."""

def shared_mappings() -> list[tuple[int, int, str]]:
    """First address, last and name of each mapping that children share with this process and may write to. OSError."""

def note_shared() -> None:
    """Remember those: `pupitre-template` gives each worker copies of its own. The last step of a build. OSError."""

def trim() -> None:
    """Give free pages of the C library's heap back. For an idle child."""

def thread_names() -> list[tuple[int, str]]:
    """(tid, name) of each thread of this process, the main one first."""

def count_threads() -> int:
    """Threads of this process; -1 when /proc does not tell."""

def memory_of(pid: int, /) -> dict[str, int]:
    """rss, pss, private, shared, swap of a process in KiB. OSError when /proc does not tell."""
