# SPDX-License-Identifier: BSD-3-Clause
"""Nothing of the template's own surroundings is left in a kernel: world.py says what they are, and where one may stay.

The packages of courses are searched in tests/nursery_packages.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import world
from nursery import AS_ROOT, Begin, Start, python_of
from raw import block

# A package that keeps what it should not, and that nobody can renew.
KEEPER = block("""
    import ctypes, os
    sentence = f'I began in {os.getcwd()}'
    def ask(variables=dict(os.environ)): return variables
    class Process: number = os.getpid()
    libc = ctypes.CDLL(None)
    libc.strdup.restype = ctypes.c_void_p
    string = libc.strdup(os.path.join(os.getcwd(), 'in C').encode())
    file = os.open(os.getcwd(), os.O_RDONLY)
    assert os.dup2(file, 123) == 123
""")
# A package that works out folders of the user's when it is imported, and keeps them in every way that there is.
DWELLER = block("""
    import os
    from dataclasses import dataclass
    from pathlib import Path
    from typing import NamedTuple
    home, config = os.path.expanduser('~'), os.environ.get('XDG_CONFIG_HOME') or os.path.expanduser('~/.config')
    here, data = Path.cwd(), Path.home() / 'data'
    places = [f'{home}/a', '/usr/share']
    by_name = {'b': f'{home}/b'.encode()}
    all_of_them = {f'{home}/c'}
    class Point(NamedTuple):
        place: str
    point = Point(f'{home}/d')
    nested = ((f'{home}/e', 1), 2)
    class Model:
        cache = f'{home}/.cache/f'
    @dataclass(frozen=True)
    class Frozen:
        place: str
    frozen = Frozen(f'{home}/g')
    class Slotted:
        __slots__ = ('place',)
        def __init__(self): self.place = f'{home}/h'
    slotted = Slotted()
    def load(place=f'{home}/i', *, other=f'{home}/j'): return [place, other]
    def make():
        place = f'{home}/k'
        return lambda: place
    told = make()
    neighbour = f'{home}-neighbour'
    def tell():
        return [home, config, here, data, places, by_name['b'].decode(), all_of_them, point.place, nested, Model.cache,
                frozen.place, slotted.place, *load(), told()]
""")
TOLD = [
    "HOME", "HOME/.config", "HOME", "HOME/data", ["HOME/a", "/usr/share"], "HOME/b", "{'HOME/c'}", "HOME/d",
    [["HOME/e", 1], 2], "HOME/.cache/f", "HOME/g", "HOME/h", "HOME/i", "HOME/j", "HOME/k",
]  # fmt: skip


def test_world_folders_are_the_users(begin: Begin, start: Start, environment: Path, directory: Path) -> None:
    (environment / "dweller.py").write_text(DWELLER)
    nursery = begin("--python", python_of(environment), "--import", "dweller", "--without", "rehearse")
    kernel = start(nursery, env={"PUPITRE_PYTHON": python_of(environment)})
    told = kernel.client().evaluate("__import__('dweller').tell()")
    home = str(kernel.directory)
    assert [each.replace(home, "HOME") if isinstance(each, str) else each for each in told][:4] == TOLD[:4]
    assert str(told).replace(home, "HOME") == str(TOLD)
    other = start(nursery, env={"PUPITRE_PYTHON": python_of(environment), "XDG_CONFIG_HOME": "/elsewhere"})
    assert other.client().evaluate("__import__('dweller').config") == "/elsewhere"


if AS_ROOT:

    @pytest.mark.long
    @pytest.mark.timeout(600)
    def test_world_leaves_nothing(environment: Path, directory: Path) -> None:
        imports = "witness,numpy,pandas,matplotlib.pyplot,scipy.stats,sklearn,multiprocessing.process,logging,tempfile"
        found = world.run(python_of(environment), environment, directory / "w", "--import", imports)
        assert found.kept and found.unexplained() == []

    @pytest.mark.timeout(300)
    def test_world_finds_what_is_kept(environment: Path, directory: Path) -> None:
        (environment / "keeper.py").write_text(KEEPER)
        options = ("--import", "witness,keeper", "--without", "rehearse")
        found = world.run(python_of(environment), environment, directory / "w", *options)
        places = {place for place, _ in found.unexplained()}
        assert places >= {"keeper.sentence", "[number] < type Process", "[SHELL] < tuple < function ask"}, places
        assert any(place.startswith("/memfd") and text.endswith("/in C") for place, text in found.unexplained()), places
