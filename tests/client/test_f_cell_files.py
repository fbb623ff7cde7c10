# SPDX-License-Identifier: BSD-3-Clause
"""Cells pretend to be files, which Python and IPython open to show an error: nobody but the kernel's user can put one
there, and whatever others put where they can, errors are shown at once and unchanged.
"""

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from launch import Kernel
from raw import Client, block, murmur2

Launch = Callable[..., Kernel]

NAME = "__import__('inspect').currentframe().f_code.co_filename"
BROKEN = [
    "1/0",
    "def (:",
    "return 1",
    "def f(x):\n    return x / 0\nf(1)",
    "import warnings\nwarnings.warn('of the cell')",
    "class Weak:\n    def __del__(self): 1/0\nweak = Weak(); del weak",
    "def shown(x):\n    return x\nimport inspect; print(inspect.getsource(shown))",
]
PLACES = ("TMPDIR", "XDG_RUNTIME_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "XDG_DATA_HOME", "HOME")
BELOW = ("", "runtime", "jupyter/runtime", ".local/share/jupyter/runtime")


@pytest.fixture
def private() -> Iterator[Path]:
    """A folder in which nobody else can make anything, nor above it: the project itself may be below /tmp."""
    places = [sys.prefix, os.path.expanduser("~"), os.environ.get("XDG_RUNTIME_DIR", ""), "/run"]
    place = next(place for place in places if place and not others_could_make(f"{place}/nothing-of-this-name"))
    path = Path(tempfile.mkdtemp(prefix=".private-", dir=place))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def crowded(directory: Path) -> Path:
    """A folder in which everybody can make files."""
    path = directory / "crowded"
    path.mkdir()
    path.chmod(0o1777)
    return path


def plant(folder: Path, pid: int) -> None:
    """Pipes to which nobody writes, in the places of the cells of a process."""
    place, is_new = folder / f"ipykernel_{pid}", not folder.exists()
    place.mkdir(parents=True)
    for cell in BROKEN:
        os.mkfifo(place / f"{murmur2(cell.encode())}.py", 0o666)
    place.chmod(0o777)
    if is_new:  # and not /tmp
        folder.chmod(0o777)


def shown(client: Client) -> list[object]:
    """What the cells show, without what is another process's."""
    results = [client.run(cell) for cell in BROKEN]
    text = [(r.content.get("evalue"), r.content.get("traceback"), r.stdout, r.stderr) for r in results]
    return [re.sub(r"\S*ipykernel_\d+|0x[0-9a-f]+", "…", repr(one)) for one in text]


@pytest.mark.parametrize("variable", PLACES)
def test_f_pipes_where_cells_could_be(launch: Launch, crowded: Path, variable: str) -> None:
    undisturbed = shown(launch().client())
    kernel = launch(env={variable: str(crowded)})
    temporary = Path(tempfile.gettempdir())
    places = [*(crowded / end for end in BELOW), temporary]
    try:
        for place in places:
            plant(place, kernel.worker.pid)
        assert shown(kernel.client()) == undisturbed
    finally:
        shutil.rmtree(temporary / f"ipykernel_{kernel.worker.pid}", ignore_errors=True)


def others_could_make(name: str) -> bool:
    """Whether a user who is neither this one nor root may make a file of that name, now or when something is gone."""
    assert os.path.isabs(name) and not os.path.lexists(name)
    for above in Path(name).parents:
        if above.exists():
            found = above.stat()
            if found.st_uid not in (0, os.getuid()) or found.st_mode & 0o022:
                return True
    return False


@pytest.mark.parametrize("variable", PLACES)
@pytest.mark.parametrize("kind", ["crowded", "private", "linked", "missing", "relative", "file", "group's"])
def test_f_nobody_else_can_make_the_file_of_a_cell(
    launch: Launch, private: Path, crowded: Path, kind: str, variable: str
) -> None:
    (private / "file").touch()
    (private / "link").symlink_to(crowded)
    (private / "group").mkdir()
    (private / "group").chmod(0o770)
    value = {
        "crowded": crowded,
        "private": private,
        "linked": private / "link",
        "missing": crowded / "missing",
        "relative": "some/where",
        "file": private / "file",
        "group's": private / "group",
    }[kind]
    usual = dict.fromkeys(PLACES[1:5], "")
    name = launch(env={**usual, variable: str(value)}).client().ok(NAME).text.strip("'")
    assert not others_could_make(name), name
    assert re.search(r"/ipykernel_\d+/\d+\.py$", name)
    if kind == "private" and variable != "TMPDIR":
        assert name.startswith(f"{private}/")


def test_f_errors_are_shown_wherever_the_user_has_gone(launch: Launch, private: Path) -> None:
    """With another folder for temporary files, without a runtime folder, in a fork, and in a process pool."""
    place = private / "run"
    place.mkdir(mode=0o700)
    client = launch(env={"XDG_RUNTIME_DIR": str(place)}).client()
    assert client.ok(NAME).text.strip("'").startswith(f"{place}/")

    def shows_its_line(cell: str, line: str) -> None:
        assert line in re.sub(r"\x1b\[[\d;]*m", "", client.run(cell).traceback)

    shows_its_line("1/0", "----> 1 1/0")
    client.ok("import os, tempfile\nos.environ['TMPDIR'] = tempfile.tempdir = '/nowhere'")
    shows_its_line("2/0", "----> 1 2/0")
    place.chmod(0o500)
    shows_its_line("3/0", "----> 1 3/0")
    shutil.rmtree(place)
    shows_its_line("4/0", "----> 1 4/0")
    client.ok("def divide(x):\n    return x / 0")
    shows_its_line("divide(5)", "----> 2     return x / 0")
    pool = block("""
        import multiprocessing
        with multiprocessing.get_context('fork').Pool(1) as pool: pool.apply(divide, (6,))
    """)
    shows_its_line(pool, "    return x / 0")
    forked = block("""
        import os, sys
        child = os.fork()
        if child == 0:
            get_ipython().run_cell('7/0')
            sys.stderr.flush()
            os._exit(0)
        os.waitpid(child, 0);
    """)
    assert "----> 1 7/0" in re.sub(r"\x1b\[[\d;]*m", "", client.ok(forked).stderr)
