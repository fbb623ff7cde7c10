# SPDX-License-Identifier: BSD-3-Clause
"""Who uses what of ipykernel: searches the sources of the packages in packages.txt and writes evidence.json.

    .venv/bin/python tests/alike/evidence.py

(`scripts/test evidence` searches again, and looks whether what was used by nobody still is.)

Takes each package from PyPI by its name, reads every Python file in it that has to do with Jupyter, and notes which
attributes of the objects in walk.OBJECTS, and which names of ipykernel's modules, it mentions. An attribute of ours
that does not compare with ipykernel's is a fault unless evidence.json has it with nobody who uses it (test_alike.py).
"""

import argparse
import json
import pkgutil
import re
import subprocess
import sys
import tarfile
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import ipykernel
from kernels import Kernel
from walk import Facts, cell, read

HERE = Path(__file__).parent
FILE_MAX = 2_000_000  # bytes; a larger file of Python is data
NAMED_MAX = 8  # packages that are named for an attribute; of more there is the number

# By which names programs reach each object. A name before the dot that is not here is some other object.
REACHED_BY = {
    "kernel": "kernel _kernel ipkernel ipykernel kern the_kernel current_kernel Kernel IPythonKernel",
    "app": "app kernel_app ipkernel_app kernelapp IPKernelApp instance ipapp",
    "shell": "shell _shell ip _ip ipy ipython ipython_shell ip_shell ipshell get_ipython InteractiveShell "
    "ZMQInteractiveShell i_shell ipython_instance IP",
    "stdout": "stdout OutStream",
    "stderr": "stderr OutStream",
    "display_pub": "display_pub ZMQDisplayPublisher publisher",
    "displayhook": "displayhook ZMQShellDisplayHook display_hook",
    "session": "session _session kernel_session",
    "comm": "comm _comm comm_ c",
    "old_comm": "comm _comm comm_ Comm",
    "comm_manager": "comm_manager manager get_comm_manager _comm_manager CommManager",
    "iopub_socket": "iopub_socket pub_socket background_socket BackgroundSocket",
    "iopub_thread": "iopub_thread pub_thread io_thread IOPubThread",
    "shell_stream": "shell_stream",
    "control_stream": "control_stream",
    "stdin_socket": "stdin_socket",
    "io_loop": "io_loop ioloop _io_loop",
}

_MENTIONS = re.compile(r"\bipykernel\b|\bget_ipython\b")
_CONCERNS = re.compile(r"ipykernel|get_ipython|IPython|jupyter|InteractiveShell|\bcomm\b")
_ATTRIBUTE = re.compile(r"\b([A-Za-z_]\w*)(?:\([^()\n]*\))?\s*\.\s*(?=([A-Za-z_]\w*))")
_BY_TEXT = re.compile(r"""attr\(\s*(?:[\w.]*\.)?(\w+)(?:\([^()\n]*\))?\s*,\s*["'](\w+)["']""")
_IMPORT = re.compile(r"^\s*from\s+(ipykernel[\w.]*)\s+import\s+(\([^)]*\)|[^\n]*)", re.MULTILINE)
_MODULE = re.compile(r"\b(ipykernel(?:\.\w+)*)\.(\w+)")


def modules() -> list[str]:
    """The public modules of ipykernel that can be imported everywhere."""
    left_out = {"ipykernel.pylab", "ipykernel.gui", "ipykernel.inprocess", "ipykernel.debugger", "ipykernel.datapub"}
    left_out |= {"ipykernel.pickleutil", "ipykernel.serialize", "ipykernel.trio_runner", "ipykernel.log"}
    found = pkgutil.walk_packages(ipykernel.__path__, "ipykernel.", onerror=lambda name: None)
    names = [one.name for one in found if "._" not in one.name]
    return ["ipykernel", *(name for name in names if not any(f"{name}.".startswith(f"{no}.") for no in left_out))]


def names_to_search() -> Facts:
    """What a kernel of ipykernel's shows."""
    with Kernel("python3") as kernel:
        answer = kernel.run(cell(modules(), {}))
        if answer.reply["status"] != "ok":
            raise SystemExit(answer.result)
        return read(answer.text())


def sources(archive: Path) -> Iterator[str]:
    """The text of each Python file in a wheel or source distribution."""
    if archive.suffix in (".whl", ".zip"):
        with ZipFile(archive) as opened:
            for entry in opened.infolist():
                if entry.filename.endswith((".py", ".pyx")) and entry.file_size <= FILE_MAX:
                    yield opened.read(entry).decode("utf-8", "replace")
        return
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.name.endswith((".py", ".pyx")) and member.isfile() and member.size <= FILE_MAX:
                data = tar.extractfile(member)
                yield data.read().decode("utf-8", "replace") if data else ""


def uses(text: str) -> set[tuple[str, str]]:
    """What a file mentions: (name before the dot, attribute), and (module of ipykernel, name)."""
    found = {(before, name) for pattern in (_ATTRIBUTE, _BY_TEXT) for before, name in pattern.findall(text)}
    for module, names in _IMPORT.findall(text):
        found |= {(module, name) for name in re.findall(r"\w+", re.sub(r"\bas\s+\w+|#[^\n]*", "", names))}
    return found | set(_MODULE.findall(text))


def fetch(package: str, folder: Path) -> tuple[Path | None, str]:
    """The package's wheel, or its sources if it has none; else why not."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":none:"]
    command += ["--disable-pip-version-check", "--dest", str(folder), package]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    archives = sorted(path for path in folder.iterdir() if path.suffix in (".whl", ".gz", ".zip", ".bz2"))
    if not archives:
        return None, (done.stderr.strip().splitlines() or ["nothing was downloaded"])[-1]
    return archives[0], ""


def version_of(archive: Path) -> str:
    stem = archive.name.removesuffix(".tar.gz").removesuffix(".whl").removesuffix(".zip")
    return stem.split("-")[1] if archive.suffix == ".whl" else stem.rpartition("-")[2]


def search(package: str, archive: Path) -> tuple[bool, set[tuple[str, str]]]:
    """Whether the package mentions ipykernel or get_ipython, and what it uses of anything."""
    mentions, found = False, set[tuple[str, str]]()
    for text in sources(archive):
        mentions = mentions or _MENTIONS.search(text) is not None
        if _CONCERNS.search(text):
            found |= uses(text)
    return mentions, found


def packages() -> tuple[list[str], set[str]]:
    """The packages to search, and those of them whose kernels are other processes."""
    lines = (HERE / "packages.txt").read_text().splitlines()
    lines = [line for line in lines if line and not line.startswith("#")]
    where = lines.index("[elsewhere]")
    return [*lines[:where], *lines[where + 1 :]], set(lines[where + 1 :])


def gather(packages: list[str], keep: Path | None) -> tuple[dict[str, str], dict[tuple[str, str], list[str]]]:
    """Version of each package that mentions ipykernel or get_ipython; who uses what."""
    searched: dict[str, str] = {}
    users: dict[tuple[str, str], list[str]] = defaultdict(list)
    for number, package in enumerate(packages, 1):
        with tempfile.TemporaryDirectory() as temporary:
            folder = keep / package if keep else Path(temporary)
            folder.mkdir(parents=True, exist_ok=True)
            archive, why = next((path for path in folder.iterdir()), None), ""
            if archive is None:
                archive, why = fetch(package, folder)
            mentions, found = search(package, archive) if archive else (False, set())
            print(f"{number}/{len(packages)} {package}: {why or ('searched' if mentions else 'mentions neither')}")
            if archive and mentions:
                searched[package] = version_of(archive)
                for use in found:
                    users[use].append(package)
    return searched, users


def table(facts: Facts, users: dict[tuple[str, str], list[str]], elsewhere: set[str]) -> dict[str, Any]:
    """Of each object: who uses which name, and the names that nobody uses."""
    rows: dict[str, Any] = {}
    for owner, named in facts.items():
        reached = REACHED_BY.get(owner, owner).split()
        used: dict[str, Any] = {}
        for name in sorted(filter(None, named)):
            by = sorted({user for before in reached for user in users.get((before, name), [])} - elsewhere)
            if by:
                used[name] = by if len(by) <= NAMED_MAX else len(by)
        rows[owner] = {"used": used, "unused": " ".join(sorted(set(filter(None, named)) - set(used)))}
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, help="keep what is downloaded in this folder, and take it from there")
    parser.add_argument("--to", type=Path, default=HERE / "evidence.json", help="write it there")
    options = parser.parse_args()
    names, elsewhere = packages()
    searched, users = gather(names, options.keep)
    made = {"ipykernel": ipykernel.__version__, "date": datetime.now(UTC).date().isoformat(), "packages": searched}
    rows = table(names_to_search(), users, elsewhere)
    body = ",\n".join(f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in rows.items())
    text = json.dumps({**made, "objects": "ROWS"}, indent=1).replace('"ROWS"', f"{{\n{body}\n }}")
    options.to.write_text(text + "\n")
    print(f"{len(searched)} packages")


if __name__ == "__main__":
    main()
