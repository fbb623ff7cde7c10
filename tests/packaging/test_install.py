# SPDX-License-Identifier: BSD-3-Clause
"""`pupitre install`: where it writes, what it refuses, and that --remove undoes exactly that."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from conftest import Installation
from test_wheel import trial

FOREIGN = {"argv": ["/bin/false", "{connection_file}"], "display_name": "Another", "language": "python"}


def foreign(folder: Path) -> Path:
    """Another kernel's spec, with a file beside it."""
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text(json.dumps(FOREIGN))
    (folder / "logo-64x64.png").write_bytes(b"theirs")
    return folder


def spec_of(folder: Path) -> dict[str, object]:
    return json.loads((folder / "kernel.json").read_text())


def user_kernels(installation: Installation) -> Path:
    return installation.home / ".local" / "share" / "jupyter" / "kernels"


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("options", [[], ["--user"]], ids=["default", "user"])
def test_user(installation: Installation, options: list[str]) -> None:
    done = installation.pupitre("install", *options)
    assert done.returncode == 0, done.stdout
    target = user_kernels(installation) / "pupitre"
    assert done.stdout == f"installed {target}\n"
    assert spec_of(target)["argv"] == [str(installation.kernel), "-f", "{connection_file}"]
    assert {path.name for path in target.iterdir()} == {
        "kernel.json",
        "logo-32x32.png",
        "logo-64x64.png",
        "logo-svg.svg",
    }
    assert target.stat().st_mode & 0o777 == 0o755


def test_user_follows_jupyters_variables(installation: Installation, tmp_path: Path) -> None:
    assert installation.pupitre("install", JUPYTER_DATA_DIR=str(tmp_path / "a")).returncode == 0
    assert installation.pupitre("install", XDG_DATA_HOME=str(tmp_path / "b")).returncode == 0
    assert (tmp_path / "a" / "kernels" / "pupitre" / "kernel.json").exists()
    assert (tmp_path / "b" / "jupyter" / "kernels" / "pupitre" / "kernel.json").exists()


def test_prefix_name_and_display_name(installation: Installation, tmp_path: Path) -> None:
    where = ("install", "--prefix", tmp_path / "p", "--name", "course.1")
    assert installation.pupitre(*where, "--display-name", "Algèbre").returncode == 0
    target = tmp_path / "p" / "share" / "jupyter" / "kernels" / "course.1"
    assert spec_of(target)["display_name"] == "Algèbre"
    assert installation.pupitre(*where, "--remove").returncode == 0
    assert not target.exists()


def test_again_renews(installation: Installation) -> None:
    assert installation.pupitre("install", "--display-name", "First").returncode == 0
    assert installation.pupitre("install", "--display-name", "Second").returncode == 0
    assert spec_of(user_kernels(installation) / "pupitre")["display_name"] == "Second"
    assert [path.name for path in user_kernels(installation).iterdir()] == ["pupitre"]


def test_installed_kernel_starts(installation: Installation, tmp_path: Path) -> None:
    assert installation.pupitre("install", "--prefix", tmp_path, "--name", "elsewhere").returncode == 0
    executable, _, _ = trial(installation, "elsewhere", JUPYTER_PATH=str(tmp_path / "share" / "jupyter"))
    assert executable == str(installation.prefix / "bin" / "python3")


def test_sys_prefix_has_pips_already(installation: Installation) -> None:
    done = installation.pupitre("install", "--sys-prefix")
    assert done.returncode == 0
    assert "pip installed it" in done.stdout


def test_sys_prefix_as_python3_and_back(installation: Installation) -> None:
    before = tree(installation.spec.parent)
    for _ in range(2):  # the second time, what was set aside stays set aside
        assert installation.pupitre("install", "--sys-prefix", "--as", "python3").returncode == 0
    assert spec_of(installation.spec.parent / "python3")["argv"][0] == str(installation.kernel)
    executable, _, _ = trial(installation, "python3")
    assert executable == str(installation.prefix / "bin" / "python3")
    done = installation.pupitre("install", "--sys-prefix", "--as", "python3", "--remove")
    assert done.returncode == 0, done.stdout
    assert tree(installation.spec.parent) == before


def test_as_sets_a_foreign_spec_aside_and_remove_puts_it_back(installation: Installation) -> None:
    target = foreign(user_kernels(installation) / "python3")
    before = tree(target)
    for _ in range(2):
        assert installation.pupitre("install", "--as", "python3").returncode == 0
    assert spec_of(target)["argv"][0] == str(installation.kernel)
    listed = installation.kernelspecs()
    assert sorted(listed) == ["pupitre", "python3"]
    assert listed["python3"]["spec"]["display_name"] == "Python 3 (Pupitre)"
    done = installation.pupitre("install", "--as", "python3", "--remove")
    assert done.returncode == 0
    assert "is back" in done.stdout
    assert tree(target) == before
    assert [path.name for path in target.parent.iterdir()] == ["python3"]


def test_as_handles_a_linked_spec(installation: Installation, tmp_path: Path) -> None:
    theirs = foreign(tmp_path / "theirs")
    target = user_kernels(installation) / "python3"
    target.parent.mkdir(parents=True)
    target.symlink_to(theirs)
    assert installation.pupitre("install", "--as", "python3").returncode == 0
    assert not target.is_symlink()
    assert spec_of(theirs) == FOREIGN
    assert installation.pupitre("install", "--as", "python3", "--remove").returncode == 0
    assert target.is_symlink()
    assert target.resolve() == theirs


@pytest.mark.parametrize("name", ["python3", "pupitre"])
def test_name_never_touches_a_foreign_spec(installation: Installation, name: str) -> None:
    target = foreign(user_kernels(installation) / name)
    before = tree(target)
    for more in ([], ["--remove"]):
        done = installation.pupitre("install", "--name", name, *more)
        assert done.returncode == 1
        assert done.stdout.startswith(f"pupitre install: {target} ")
        assert done.stdout.count("\n") == 1
        assert tree(target) == before


def test_remove_leaves_what_pip_installed(installation: Installation) -> None:
    done = installation.pupitre("install", "--sys-prefix", "--remove")
    assert done.returncode == 1
    assert "pip uninstall" in done.stdout


def test_remove_of_nothing(installation: Installation) -> None:
    done = installation.pupitre("install", "--remove")
    assert done.returncode == 1
    assert done.stdout == f"pupitre install: there is no kernelspec at {user_kernels(installation)}/pupitre\n"


def test_target_that_cannot_be_written(installation: Installation, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = installation.pupitre("install", "--prefix", tmp_path / "file")
    assert done.returncode == 1
    assert done.stdout.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["--user", "--sys-prefix"],
        ["--name", "a", "--as", "b"],
        ["--name", "../x"],
        ["--name", ""],
        ["--what"],
        ["--prefix"],
    ],
    ids=" ".join,
)
def test_usage(installation: Installation, arguments: list[str]) -> None:
    assert installation.pupitre("install", *arguments).returncode == 2


def test_a_failed_replacement_leaves_the_old_one(installation: Installation, tmp_path: Path) -> None:
    target = foreign(user_kernels(installation) / "python3")
    before = tree(target)
    copy = Installation(tmp_path / "copy", installation.home)
    shutil.copytree(installation.prefix, copy.prefix, symlinks=True)
    copy.kernel.unlink()
    done = copy.pupitre("install", "--as", "python3")
    assert done.returncode == 1
    assert "pupitre-kernel is missing" in done.stdout
    assert tree(target) == before
