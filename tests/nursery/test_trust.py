# SPDX-License-Identifier: BSD-3-Clause
"""What a nursery of the machine opens, runs and believes is root's alone, at its first build and at every other."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from nursery import AS_ROOT, QUICK, USER, Begin, Nursery, Start, python_of, started_cold
from pupitre.nursery import trust
from pupitre.nursery.messages import Op, TemplateState
from raw import block, murmur2

REHEARSAL = Path(sysconfig.get_path("purelib")) / "pupitre/nursery/rehearsal.py"
PIDS = 100  # of a nursery in a namespace of its own
TRAPS = """
import os, sys
for place in sys.argv[2:]:
    os.mkdir(place)
    for name in sys.argv[1].split():
        os.mkfifo(f"{place}/{name}")
"""
CALL = re.compile(
    r'\d+ +\w+\((?:(?:AT_FDCWD|\d+)<(?P<folder>[^>]*)>, )?(?:{sa_family=AF_UNIX, sun_path=)?"(?P<name>[^"]*)".*'
)
ONLY_LOOKS = re.compile(r"^\d+ +\w*(stat|readlink|access|mkdir)\w*\(|O_EXCL")  # or makes what was not there


def texts(file: Path) -> list[str]:
    """All that stand in a module."""
    found = [node.value for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Constant)]
    return [value for value in found if isinstance(value, str)]


def notebook(path: Path, *cells: str) -> Path:
    code = [{"cell_type": "code", "source": cell, "metadata": {}, "outputs": []} for cell in cells]
    path.write_text(json.dumps({"cells": code, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    return path


def told(marker: Path) -> str:
    """Python that tells who runs it."""
    return f"import os; open({str(marker)!r}, 'a').write(f'{{os.geteuid()}}\\n')\n"


@pytest.fixture
def theirs(directory: Path) -> Path:
    """A folder of a student's, with modules that tell."""
    path = directory / "theirs"
    path.mkdir()
    for name in ("sitecustomize.py", "editable.py"):
        (path / name).write_text(told(directory / "ran"))
    shutil.copy(next(Path(os.__file__).parent.glob("lib-dynload/_zoneinfo.*.so")), path / "library.so")
    USER.give(path)
    return path


@pytest.fixture
def traps() -> Iterator[None]:
    """What a student can make beforehand, because the numbers of processes can be foretold and cells are known: a pipe
    to which nobody writes for each cell of the rehearsal, below /tmp.
    """
    names = {f"{murmur2(cell.encode())}.py" for cell in texts(REHEARSAL)}
    places = [Path(tempfile.gettempdir()) / f"ipykernel_{pid}" for pid in range(1, PIDS)]
    subprocess.run([sys.executable, "-c", TRAPS, " ".join(names), *map(str, places)], check=True, user=USER.uid)
    yield
    for place in places:
        shutil.rmtree(place)


def wait_unfit(nursery: Nursery, said: str) -> None:
    """Until a template was refused for this reason."""
    nursery.wait_status(
        f"a template that is unfit: {said}",
        lambda found: any(t.state == TemplateState.UNFIT and said in t.text for t in found.templates),
    )


if AS_ROOT:

    @pytest.mark.usefixtures("traps")
    def test_pipes_where_cells_of_the_rehearsal_could_be(begin: Begin) -> None:
        apart = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
        begin("--import", "json", system=True, prefix=apart)  # and is ready

    @pytest.mark.long
    def test_root_names_nothing_that_others_could_make(begin: Begin, directory: Path) -> None:
        """All that is opened, run, entered or connected to, from the command to a template that is ready."""
        log = directory / "calls"
        strace = ("strace", "-f", "-qq", "-y", "-s", "4096", "-e", "trace=%file,connect", "-o", str(log))
        begin("--import", "numpy,pandas,matplotlib.pyplot", system=True, prefix=strace)
        looked_at = [
            match
            for match in map(CALL.match, log.read_text().splitlines())
            if match and not ONLY_LOOKS.search(match[0])
        ]
        paths = {os.path.join(match["folder"] or "/", match["name"]) for match in looked_at}
        weak = {trust.weak_spot(path): path for path in paths if not Path(path).is_char_device()}
        assert len(paths) > 500 and set(weak) == {None}, weak

    @pytest.mark.parametrize("way", ["reload", "packages changed"])
    def test_a_path_that_root_added_later(
        begin: Begin, start: Start, environment: Path, theirs: Path, directory: Path, way: str
    ) -> None:
        nursery = begin(*QUICK, "--python", python_of(environment), system=True)
        (environment / "later.pth").write_text(f"{theirs}\n")
        if way == "reload":
            nursery.ask(Op.RELOAD)
        else:
            started_cold(start(nursery, cold=True, env={"PUPITRE_PYTHON": python_of(environment)}))
        wait_unfit(nursery, f"{theirs} belongs to user {USER.uid}")
        assert not (directory / "ran").exists()

    @pytest.mark.parametrize(
        "cell", ["import editable", "try: import editable\nexcept Exception: pass", "import library"]
    )
    @pytest.mark.long
    def test_a_module_that_only_the_rehearsal_imports(
        begin: Begin, environment: Path, theirs: Path, directory: Path, cell: str
    ) -> None:
        """It is where root said that it is, but not root's."""
        finder = block(f"""
            import sys
            from importlib.util import spec_from_file_location
            class Finder:
                @staticmethod
                def find_spec(name, path=None, target=None):
                    if name == "editable":
                        return spec_from_file_location(name, {str(theirs / "editable.py")!r})
                    if name == "library":
                        return spec_from_file_location("_zoneinfo", {str(theirs / "library.so")!r})
            sys.meta_path.append(Finder)
        """)
        (environment / "finder.py").write_text(finder)
        (environment / "finder.pth").write_text("import finder\n")
        course = notebook(directory / "course.ipynb", cell)
        options = ("--import", "json", "--python", python_of(environment), "--rehearsal", str(course))
        nursery = begin(*options, system=True, ready=False)
        wait_unfit(nursery, f"{theirs} belongs to user {USER.uid}")
        assert not (directory / "ran").exists()

    def test_a_home_that_was_swapped(begin: Begin, directory: Path) -> None:
        """A folder above it has become a student's since the start."""
        above = directory / "above"
        above.mkdir()
        nursery = begin(*QUICK, system=True, socket=above / "n" / "nursery.sock")
        os.chown(above, USER.uid, USER.gid)
        startup = directory / "planted" / "nursery.home" / "ipython" / "profile_default" / "startup"
        startup.mkdir(parents=True)
        (startup / "mine.py").write_text(told(directory / "ran"))
        USER.give(directory / "planted")
        (above / "n").rename(directory / "away")
        (directory / "planted").rename(above / "n")
        os.kill(nursery.pid, 1)
        nursery.wait_said(b"", 1)
        os.symlink(directory / "away" / "nursery.sock", directory / "n.sock")
        nursery.socket = directory / "n.sock"
        wait_unfit(nursery, f"{above} belongs to user {USER.uid}")
        assert not (directory / "ran").exists()

    def test_what_the_rehearsal_writes_is_gone(begin: Begin, directory: Path) -> None:
        course = notebook(
            directory / "course.ipynb",
            f"import os; open({str(directory / 'was')!r}, 'w').write(os.getcwd())",
            "open('result.csv', 'w').write('1,2')",
        )
        nursery = begin("--import", "json", "--rehearsal", str(course), system=True)
        was = Path((directory / "was").read_text())
        home = nursery.socket.with_suffix(".home")
        assert was.parent == home and not was.exists()
        assert not Path("/result.csv").exists() and not list(home.rglob("result.csv"))
        assert os.readlink(f"/proc/{nursery.template().pid}/cwd") == "/"

    def test_the_listener_has_no_environment(bare: Nursery) -> None:
        assert Path(f"/proc/{bare.pid}/environ").read_bytes() == b""
