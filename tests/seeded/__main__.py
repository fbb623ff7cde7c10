# SPDX-License-Identifier: BSD-3-Clause
"""Breaks a copy of the product on purpose, one fault of faults.toml after the other, and runs the tests that should
find it. See scripts/seeded-faults.
"""

import argparse
import os
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLACE = ROOT / "build/seeded"
TREE, VENV, LOG = PLACE / "tree", PLACE / "venv", PLACE / "log"
DEADLINE = 900  # seconds, for one build or the tests of one layer
FOUND = re.compile(r"^(?:FAILED|ERROR) tests/(?:\w+/)?(\S+)", re.MULTILINE)
FOUND_BY_CTEST = re.compile(r"^\[  FAILED  \] (\S+)$|^\s*\d+ - (\S+) \(.*\)$", re.MULTILINE)


@dataclass
class Fault:
    """`find` stands in `file` exactly once, and becomes `replace`. `tests`: what should find it, a layer and then the
    arguments for pytest, ctest (layer c) or scripts/lint.
    """

    name: str
    file: str
    find: str
    replace: str
    tests: list[list[str]]

    def broken(self) -> str:
        """The file with the fault in it."""
        source = (ROOT / self.file).read_text()
        times = source.count(self.find)
        if times != 1:
            raise SystemExit(
                f"seeded-faults: {self.name}: what it changes in {self.file} stands there {times} times instead of "
                f"once. Say in tests/seeded/faults.toml what it changes now:\n{self.find}"
            )
        return source.replace(self.find, self.replace)


def faults() -> list[Fault]:
    return [Fault(**fault) for fault in tomllib.loads((ROOT / "tests/seeded/faults.toml").read_text())["fault"]]


def run(*command: str, **environment: str) -> tuple[int, str]:
    """Exit status and output; the output is added to the log as well."""
    with LOG.open("a") as log:
        log.write(f"$ {' '.join(command)}\n")
        log.flush()
        done = subprocess.run(
            command,
            cwd=TREE,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=DEADLINE,
            text=True,
            errors="replace",
        )
        log.write(done.stdout)
    return done.returncode, done.stdout


def must(*command: str) -> None:
    status, output = run(*command)
    if status != 0:
        sys.stdout.write(output[-4000:])
        raise SystemExit(f"seeded-faults: {' '.join(command)} failed")


def copy_tree() -> None:
    """The tree as git sees it, what is not committed included. Files that have not changed keep their times."""
    listed = subprocess.check_output(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, text=True)
    wanted = {name for name in listed.split("\0") if name and (ROOT / name).is_file()}
    for name in wanted:
        target, content = TREE / name, (ROOT / name).read_bytes()
        if not target.is_file() or target.read_bytes() != content:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            target.chmod((ROOT / name).stat().st_mode)
    for path in TREE.rglob("*"):
        name = path.relative_to(TREE)
        if path.is_file() and name.parts[0] != "build" and str(name) not in wanted:
            path.unlink()


def make_venv() -> None:
    """The packages of .venv, but the `pupitre` of the copy."""
    if not VENV.exists():
        must(sys.executable, "-m", "venv", "--without-pip", str(VENV))
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages, ours = VENV / "lib" / version / "site-packages", Path(sys.prefix) / "lib" / version / "site-packages"
    (packages / "everything_else.pth").write_text(f"{ours}\n")
    if not (packages / "pupitre").is_symlink():
        (packages / "pupitre").symlink_to(TREE / "kernel/pupitre")


def build(preset: str, *targets: str) -> None:
    must("cmake", "--preset", preset, f"-DPython3_EXECUTABLE={VENV}/bin/python")
    must("cmake", "--build", "--preset", preset, *[word for target in targets for word in ("--target", target)])


def find(layer: str, *arguments: str) -> str:
    """The test of this layer that fails; empty when none does."""
    if layer == "c":
        build("debug", *[f"test_{name}" for name in arguments])
        names = "|".join(arguments)
        status, output = run("ctest", "--preset", "debug", "--no-tests=error", "-R", f"^({names})$")
        pattern = FOUND_BY_CTEST
    else:
        build("release")
        programs = TREE / "build/release/kernel"
        python = f"{VENV}/bin/python"
        status, output = run(
            *(python, "-m", "pytest", "-x", "-q", "--no-header", *arguments),
            PUPITRE_KERNEL_BIN=str(programs / "front/pupitre-kernel"),
            PUPITRE_WORKER=str(programs / "worker/pupitre-worker"),
            PUPITRE_NURSERY_BIN=str(programs / "nursery/listener/pupitre-nursery"),
            PUPITRE_PYTHON=python,
            PUPITRE_RANDOM_SEED="1",
        )
        pattern = FOUND
    if status == 0:
        return ""
    if match := pattern.search(output):
        return next(group for group in match.groups() if group)
    sys.stdout.write(output[-4000:])
    raise SystemExit(f"seeded-faults: the tests of {layer} could not run")


def try_fault(fault: Fault) -> bool:
    source = (TREE / fault.file).read_text()
    (TREE / fault.file).write_text(fault.broken())
    try:
        for layer, *arguments in fault.tests:
            if test := find(layer, *arguments):
                print(f"{fault.name}: found by {layer}: {test}", flush=True)
                return True
    finally:
        (TREE / fault.file).write_text(source)
    print(f"{fault.name}: NOT FOUND", flush=True)
    return False


def passes_without(wanted: list[Fault]) -> bool:
    """The same tests, over what is not broken: a test that fails anyhow finds nothing. Twice, as machines are busy."""
    good = True
    for layer, *arguments in sorted({tuple(test) for fault in wanted for test in fault.tests}):
        if (test := find(layer, *arguments)) and find(layer, *arguments):
            print(f"without a fault: {layer}: {test} fails", flush=True)
            good = False
    return good


def main() -> int:
    known = faults()
    parser = argparse.ArgumentParser(prog="scripts/seeded-faults", description="Try whether the tests find faults.")
    parser.add_argument("fault", nargs="*", help="words of the names of the faults to try (default: all)")
    parser.add_argument("--list", action="store_true", help="only print the names")
    parser.add_argument("--check", action="store_true", help="only see whether each still fits the sources")
    options = parser.parse_args()
    words = options.fault
    wanted = [fault for fault in known if not words or any(word in fault.name for word in words)]
    if not wanted:
        parser.error("no fault is named so")
    for fault in wanted:
        fault.broken()
    if options.check:
        return 0
    if options.list:
        print(*(fault.name for fault in wanted), sep="\n")
        return 0
    TREE.mkdir(parents=True, exist_ok=True)
    LOG.write_text("")
    make_venv()
    copy_tree()
    good = passes_without(wanted)
    found = [try_fault(fault) for fault in wanted]
    print(f"{sum(found)} found, {len(found) - sum(found)} not found")
    return 0 if good and all(found) else 1


sys.exit(main())
