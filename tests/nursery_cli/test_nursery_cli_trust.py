# SPDX-License-Identifier: BSD-3-Clause
"""`pupitre nursery --system` refuses what others can change, before any of it has run; real files, as root."""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Cli
from pupitre.nursery import preflight, trust

AS_ROOT = os.geteuid() == 0
STUDENT = 12345


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "ran"


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """The interpreter of a virtual environment that is root's; Pupitre is not in it, as it need not be."""
    place = tmp_path / "venv"
    (place / "bin").mkdir(parents=True)
    real = os.path.realpath(sys.executable)
    (place / "bin" / "python3").symlink_to(real)
    (place / "pyvenv.cfg").write_text(f"home = {os.path.dirname(real)}\ninclude-system-site-packages = false\n")
    (place / "lib" / f"python{sysconfig.get_python_version()}" / "site-packages").mkdir(parents=True)
    return place / "bin" / "python3"


def packages_of(python: Path) -> Path:
    return next(python.parents[1].glob("lib/python3*/site-packages"))


def told(marker: Path) -> str:
    """Python, in one line, that tells who runs it."""
    return f"import os; open({str(marker)!r}, 'a').write(f'{{os.geteuid()}}\\n')\n"


def give(path: Path) -> Path:
    os.chown(path, STUDENT, STUDENT, follow_symlinks=False)
    return path


def their_path_file(python: Path, marker: Path) -> Path:
    file = packages_of(python) / "theirs.pth"
    file.write_text(told(marker))
    return give(file)


def their_packages(python: Path, marker: Path) -> Path:
    (packages_of(python) / "theirs.pth").write_text(told(marker))
    return give(packages_of(python))


def their_folder_on_the_path(python: Path, marker: Path) -> Path:
    folder = marker.with_name("theirs")
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(told(marker))
    (packages_of(python) / "root.pth").write_text(f"{folder}\n")
    return give(folder)


def their_module_in_roots_folder(python: Path, marker: Path) -> Path:
    """Which a line of root's imports."""
    file = packages_of(python) / "helper.py"
    file.write_text(told(marker))
    (packages_of(python) / "root.pth").write_text("import helper\n")
    return give(file)


def their_bytecode(python: Path, marker: Path) -> Path:
    """The source is root's and does nothing."""
    file = packages_of(python) / "helper.py"
    file.write_text(told(marker))
    subprocess.run([python, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", file], check=True)
    file.write_text("")
    (packages_of(python) / "root.pth").write_text("import helper\n")
    return give(next(file.parent.glob("__pycache__/helper.*.pyc")))


def their_library(python: Path, marker: Path) -> Path:
    file = packages_of(python) / "helper.so"
    shutil.copy(next(Path(os.__file__).parent.glob("lib-dynload/_zoneinfo.*.so")), file)
    load = f"s = u.spec_from_file_location('_zoneinfo', {str(file)!r}); u.module_from_spec(s)"
    (packages_of(python) / "root.pth").write_text(f"import importlib.util as u; {load}; {told(marker)}")
    return give(file)


def their_settings(python: Path, marker: Path) -> Path:
    return give(python.parents[1] / "pyvenv.cfg")


def their_library_folder(python: Path, marker: Path) -> Path:
    """The settings are root's, and lead to an interpreter's library of theirs."""
    library = marker.with_name("other") / "lib" / f"python{sysconfig.get_python_version()}"
    library.mkdir(parents=True)
    (library / "os.py").write_text(told(marker))
    (library.parents[1] / "bin").mkdir()
    settings = python.parents[1] / "pyvenv.cfg"
    text = settings.read_text()
    settings.write_text(re.sub(r"home = .*", f"home = {library.parents[1]}/bin", text))
    return give(library)


def their_program(python: Path, marker: Path) -> Path:
    python.unlink()
    python.write_text(f"#!/bin/sh\nid -u >{marker}\n")
    python.chmod(0o755)
    return give(python)


WEAK: list[Callable[[Path, Path], Path]] = [
    their_path_file,
    their_packages,
    their_folder_on_the_path,
    their_module_in_roots_folder,
    their_bytecode,
    their_library,
    their_settings,
    their_library_folder,
    their_program,
]


if AS_ROOT:

    @pytest.mark.parametrize("weaken", WEAK, ids=lambda weaken: weaken.__name__)
    def test_nothing_of_theirs_runs(cli: Cli, python: Path, marker: Path, weaken: Callable[[Path, Path], Path]) -> None:
        weak = weaken(python, marker)
        said = cli.refused("--system", "--config", cli.config(""), "--socket", "n.sock", "--python", python)
        assert f"what others can change: {weak} belongs to user {STUDENT}" in said
        assert not marker.exists()

    def test_roots_own_environment_will_do(cli: Cli, python: Path, marker: Path) -> None:
        (packages_of(python) / "root.pth").write_text(told(marker))
        cli.started("--system", "--config", cli.config(""), "--socket", "n.sock", "--python", python, "--import", "")
        assert set(marker.read_text().split()) == {"0"}

    def test_a_script_is_no_interpreter(cli: Cli, python: Path) -> None:
        script = python.with_name("shim")
        script.write_text(f'#!/bin/sh\nexec {python} "$@"\n')
        script.chmod(0o755)
        said = cli.refused("--system", "--config", cli.config(""), "--socket", "n.sock", "--python", script)
        assert "is a script" in said

    @pytest.mark.parametrize("weak", ["theirs", "everybody's", "a group's"])
    def test_a_folder_above_the_socket(cli: Cli, weak: str) -> None:
        """Whoever can rename the folder of the socket can put another in its place, and a home beside it."""
        above = cli.folder / "above"
        above.mkdir()
        if weak == "theirs":
            give(above)
        else:
            above.chmod(0o777 if weak == "everybody's" else 0o770)
            os.chown(above, 0, STUDENT)
        (above / "run").mkdir(mode=0o755)
        options = ("--config", cli.config(""), "--socket", above / "run" / "n.sock")
        for mode in ((), ("--system",)):
            assert str(above) in cli.refused(*mode, *options, status=3)

    def test_variables_have_no_say(cli: Cli) -> None:
        """The command begins anew without Python's variables, and what it becomes has none at all."""
        options = ("--system", "--config", cli.config(""), "--socket", "n.sock", "--import", "")
        done = cli.run(*options, PYTHONOPTIMIZE="2", PYTHONWARNINGS="error", SECRET="x")
        assert done.returncode == 0, done
        assert json.loads(done.stdout)[1].keys() <= {"LC_CTYPE"}  # by the stand-in's own Python

    # --- weak spots ---

    def access_list(user: int, may: int) -> bytes:
        """As Linux keeps one: the owner, a user by number, the owning group, the mask, others."""
        entries = [(1, 7, 2**32 - 1), (2, may, user), (4, 5, 2**32 - 1), (16, may | 5, 2**32 - 1), (32, 5, 2**32 - 1)]
        return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)

    def test_access_lists(tmp_path: Path) -> None:
        for name, may in (("reads", 5), ("writes", 7)):
            file = tmp_path / name
            file.touch(0o755)
            os.setxattr(file, "system.posix_acl_access", access_list(STUDENT, may))
        assert trust.weak_spot(str(tmp_path / "reads")) is None
        assert (
            trust.weak_spot(str(tmp_path / "writes")) == f"{tmp_path}/writes has an access list that lets others write"
        )

    def test_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        accounts, groups, services = (tmp_path / name for name in ("passwd", "group", "nsswitch.conf"))
        accounts.write_text("root:x:0:0::/root:/bin/sh\nann:x:1001:51::/home/ann:/bin/sh\n")
        groups.write_text("root:x:0:\nempty:x:50:\nprimary:x:51:\nmembers:x:52:ann,bob\nroots:x:53:root\nbig:x:1000:\n")
        services.write_text(
            "# comment\npasswd: files systemd\ngroup: files [SUCCESS=merge] systemd\nhosts: files dns\n"
        )
        for name, file in (("ACCOUNTS", accounts), ("GROUPS", groups), ("SERVICES", services)):
            monkeypatch.setattr(trust, name, str(file))
        file = tmp_path / "file"
        file.touch()
        file.chmod(0o660)

        def safe(gid: int) -> bool:
            os.chown(file, 0, gid)
            return trust.weak_spot(str(file)) is None

        assert [gid for gid in (0, 50, 51, 52, 53, 54, 1000, 60_000) if safe(gid)] == [0, 50, 53]
        services.write_text("passwd: files sss\n")
        assert [gid for gid in (0, 50, 53) if safe(gid)] == [0]
        services.write_text("passwd: files\ngroup: files\n")
        accounts.write_text("root:x:0:0::/root:/bin/sh\n+::::::\n")
        assert not safe(50)
        accounts.write_text("root:x:0:0::/root:/bin/sh\nann:x:1001:0::/home/ann:/bin/sh\n")
        assert not safe(0)

    def test_what_is_missing(tmp_path: Path) -> None:
        """Root's own entry in a sticky folder stays; one that is not there anybody can make."""
        sticky = tmp_path / "sticky"
        (sticky / "roots").mkdir(parents=True)
        sticky.chmod(0o1777)
        assert trust.weak_spot(str(sticky / "roots" / "missing")) is None
        assert trust.weak_spot(str(sticky / "missing" / "x")) == f"{sticky} can be written by everybody"
        (sticky / "link").symlink_to(sticky / "elsewhere")
        assert trust.weak_spot(str(sticky / "link")) == f"{sticky} can be written by everybody"
        (tmp_path / "loop").symlink_to("loop")
        assert trust.weak_spot(str(tmp_path / "loop")) == f"{tmp_path}/loop has too many links in it"

    def test_startup_files(python: Path) -> None:
        found = preflight.startup_files(str(python))
        library = sysconfig.get_path("stdlib")
        assert {str(python), str(python.parents[1] / "pyvenv.cfg"), library, f"{library}/encodings/__init__.py"} <= set(
            found
        )
        assert any("/libc.so" in name for name in preflight.libraries(os.path.realpath(python)))
