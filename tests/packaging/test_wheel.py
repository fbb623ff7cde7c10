# SPDX-License-Identifier: BSD-3-Clause
"""What is in the wheel, and that an installation works wherever it is and wherever it is moved to."""

from __future__ import annotations

import re
import subprocess
import zipfile
from pathlib import Path

from conftest import ROOT, Installation, run

LIBEXEC = ("pupitre-worker", "pupitre-nursery", "pupitre-scribe", "pupitre-template")
VERSION = re.search(r"project\(pupitre VERSION ([0-9.]+)", (ROOT / "CMakeLists.txt").read_text())[1]


def members(wheel: Path) -> dict[str, bytes]:
    """Everything in the wheel, by name without the version and the .data folder's scheme prefix."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_wheel_holds_what_an_installation_needs(wheel: Path) -> None:
    names = set(members(wheel))
    data = f"pupitre-{VERSION}.data"
    kernels = f"{data}/data/share/jupyter/kernels/pupitre"
    assert {
        f"{data}/scripts/pupitre-kernel",
        *(f"{data}/data/libexec/pupitre/{name}" for name in LIBEXEC),
        *(f"{data}/data/share/man/man1/{path.name}" for path in ROOT.glob("docs/man/*.1")),
        *(f"{data}/data/share/pupitre/systemd/{path.name}" for path in ROOT.glob("packaging/systemd/*.service")),
        f"{data}/data/share/pupitre/nursery.toml",
        *(f"{kernels}/{name}" for name in ("kernel.json", "logo-32x32.png", "logo-64x64.png", "logo-svg.svg")),
    } <= names
    modules = {f"pupitre/{path.relative_to(ROOT / 'kernel/pupitre')}" for path in ROOT.glob("kernel/pupitre/**/*.py")}
    assert modules <= names


def test_wheel_holds_nothing_else(wheel: Path) -> None:
    known = re.compile(
        r"pupitre/.*\.pyi?|pupitre/py\.typed|pupitre-[0-9.]+\.dist-info/.*|"
        r"pupitre-[0-9.]+\.data/(scripts/pupitre-kernel|"
        r"data/(libexec/pupitre|share/jupyter/kernels/pupitre|share/man/man1|share/pupitre|share/pupitre/systemd)/[^/]+)"
    )
    assert [name for name in members(wheel) if not known.fullmatch(name)] == []


def test_wheel_knows_no_path_of_the_machine_it_was_built_on(wheel: Path) -> None:
    suspects = re.compile(rb"|".join(re.escape(str(path).encode()) for path in (ROOT, Path("/tmp/pip-"), "/tmp/tmp")))
    found = {name: match.group() for name, data in members(wheel).items() if (match := suspects.search(data))}
    assert found == {}


def test_programs_are_stripped_and_name_only_libpython_folder(shared: Installation) -> None:
    for program in (shared.kernel, *(shared.prefix / "libexec" / "pupitre" / name for name in LIBEXEC)):
        assert ".symtab" not in run("readelf", "-SW", program).stdout
        assert "not found" not in run("ldd", program).stdout
        for path in re.findall(r"R(?:UN)?PATH.*\[(.*)\]", run("readelf", "-dW", program).stdout):
            assert list(Path(path).glob("libpython3*.so*")), f"{program} has {path} as RUNPATH"


def test_version_is_one(shared: Installation, wheel: Path) -> None:
    assert wheel.name.startswith(f"pupitre-{VERSION}-")
    assert shared.run("pupitre", "--version").stdout == f"pupitre {VERSION}\n"
    assert shared.run("pupitre-kernel", "--version").stdout.splitlines()[0] == f"pupitre-kernel {VERSION}"


def test_jupyter_finds_the_kernelspec(installation: Installation) -> None:
    spec = installation.kernelspecs()["pupitre"]
    assert spec["resource_dir"] == str(installation.spec)
    assert spec["spec"]["language"] == "python"
    assert spec["spec"]["metadata"]["debugger"] is False
    assert not [part for part in spec["spec"]["argv"] if str(installation.prefix) in part]


TRIAL = """
import sys
from jupyter_client.manager import start_new_kernel
manager, client = start_new_kernel(kernel_name=sys.argv[1], startup_timeout=30)
try:
    def answer(code):
        content = client.execute_interactive("", user_expressions={"x": code}, timeout=20)["content"]
        return content["user_expressions"]["x"]["data"]["text/plain"]
    print(answer("__import__('sys').executable"))
    print(answer("__import__('sys').prefix"))
    print(answer("__import__('pupitre').__file__"))
finally:
    client.stop_channels()
    manager.shutdown_kernel(now=True)
"""


def trial(installation: Installation, kernel: str = "pupitre", **environment: str) -> list[str]:
    """sys.executable, sys.prefix and the package's file, as a kernel that Jupyter started says them."""
    done = installation.run("python", "-c", TRIAL, kernel, **environment)
    assert done.returncode == 0, done.stdout
    return [line.strip("'") for line in done.stdout.splitlines()[-3:]]


def test_kernel_runs_in_its_environment(installation: Installation) -> None:
    executable, prefix, package = trial(installation)
    assert executable == str(installation.prefix / "bin" / "python3")
    assert prefix == str(installation.prefix)
    assert package.startswith(str(installation.prefix))


def test_a_moved_environment_works(shared: Installation, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    subprocess.run(["cp", "-a", shared.prefix, moved], check=True, timeout=60)
    away = shared.prefix.rename(shared.prefix.with_name("not here"))
    try:
        executable, prefix, package = trial(Installation(moved, tmp_path / "home"))
    finally:
        away.rename(shared.prefix)
    assert executable == str(moved / "bin" / "python3")
    assert prefix == str(moved)
    assert package.startswith(str(moved))
