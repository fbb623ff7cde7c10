# SPDX-License-Identifier: BSD-3-Clause
"""`pupitre install`: write a kernelspec where another Jupyter looks, or take it away again.

pip already put one into its own environment; this is for a Jupyter that lives elsewhere, for another name, and for
standing in for `python3` so that existing notebooks run on Pupitre. Every spec written here says so in its metadata;
one that does not is never overwritten or removed, only set aside (`--as`), inside the new one, and put back
by `--remove`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from pupitre import version

DEFAULT_NAME = "pupitre"
MARK = "pupitre"  # the key in metadata that says that this command wrote the spec
SET_ASIDE = "replaced-kernelspec"  # folder inside our spec that keeps what stood in its place


class Refusal(Exception):
    """What was asked for cannot be done; its text is the line the user reads."""


def kernel_program() -> Path:
    """Where the installation of this package has its pupitre-kernel."""
    return Path(sysconfig.get_path("scripts")) / "pupitre-kernel"


def own_spec() -> Path:
    """The kernelspec that came with the installation of this package."""
    return Path(sysconfig.get_path("data")) / "share" / "jupyter" / "kernels" / DEFAULT_NAME


def user_data() -> Path:
    """Jupyter's data directory of this user."""
    own = os.environ.get("JUPYTER_DATA_DIR")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "jupyter"


def read_spec(folder: Path) -> dict[str, Any] | None:
    """The kernel.json in a folder, or None where there is none that can be read."""
    try:
        spec = json.loads((folder / "kernel.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return spec if isinstance(spec, dict) else None


def is_ours(folder: Path) -> bool:
    """Whether this command wrote the kernelspec in a folder."""
    metadata = (read_spec(folder) or {}).get("metadata")
    return isinstance(metadata, dict) and MARK in metadata


def make_spec(display_name: str | None) -> dict[str, Any]:
    """The content of kernel.json for a spec outside of our own prefix: absolute path, marked."""
    program = kernel_program()
    if not os.access(program, os.X_OK):
        raise Refusal(f"{program} is missing: install the package again (pip install --force-reinstall pupitre)")
    spec = read_spec(own_spec())
    if spec is None:
        raise Refusal(f"{own_spec()}/kernel.json is missing or broken: install the package again")
    spec["argv"] = [str(program), *spec["argv"][1:]]
    spec["metadata"] = {**spec.get("metadata", {}), MARK: {"version": version()}}
    if display_name:
        spec["display_name"] = display_name
    return spec


def write_spec(target: Path, spec: dict[str, Any], replace: bool) -> None:
    """Put a spec at `target`, whole or not at all. A foreign one there is set aside if `replace`, else refused."""
    foreign = target.is_symlink() or (target.exists() and not is_ours(target))
    if foreign and not replace:
        raise Refusal(f"{target} is another kernel's; --as {target.name} sets it aside until --remove")
    target.parent.mkdir(parents=True, exist_ok=True)
    # The name begins with a dot but is no kernel for Jupyter until it holds a kernel.json, which comes last.
    fresh = Path(tempfile.mkdtemp(prefix=".pupitre-", dir=target.parent))
    try:
        fresh.chmod(0o755)
        for logo in own_spec().glob("logo-*"):
            shutil.copyfile(logo, fresh / logo.name)
        if foreign:
            target.rename(fresh / SET_ASIDE)
        elif target.exists():
            if os.path.lexists(target / SET_ASIDE):
                (target / SET_ASIDE).rename(fresh / SET_ASIDE)
            shutil.rmtree(target)
        (fresh / "kernel.json").write_text(json.dumps(spec, indent=1) + "\n", "utf-8")
        fresh.rename(target)
    except BaseException:
        if os.path.lexists(fresh / SET_ASIDE) and not os.path.lexists(target):
            (fresh / SET_ASIDE).rename(target)
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def remove_spec(target: Path) -> bool:
    """Take away a spec that this command wrote, and put back what stood there. True if something was put back."""
    if not os.path.lexists(target):
        raise Refusal(f"there is no kernelspec at {target}")
    if target.is_symlink() or not is_ours(target):
        hint = "; pip uninstall pupitre removes it" if target == own_spec() else ""
        raise Refusal(f"{target} was not written by pupitre install{hint}")
    kept = target / SET_ASIDE
    if not os.path.lexists(kept):
        shutil.rmtree(target)
        return False
    ours = Path(tempfile.mkdtemp(prefix=".pupitre-", dir=target.parent))
    target.rename(ours / "spec")
    (ours / "spec" / SET_ASIDE).rename(target)
    shutil.rmtree(ours)
    return True


def kernels_folder(options: argparse.Namespace) -> Path:
    """The folder of kernelspecs that the options mean."""
    if options.prefix:
        return Path(options.prefix).absolute() / "share" / "jupyter" / "kernels"
    if options.sys_prefix:
        return Path(sys.prefix) / "share" / "jupyter" / "kernels"
    return user_data() / "kernels"


def run(options: argparse.Namespace) -> int:
    """The command; its exit status. Refusal and OSError are the caller's to print."""
    name = options.stand_in or options.name or DEFAULT_NAME
    target = kernels_folder(options) / name
    if options.remove:
        restored = remove_spec(target)
        print(f"removed {target}" + ("; the kernelspec it had replaced is back" if restored else ""))
        return 0
    if target == own_spec() and read_spec(target) is not None and not is_ours(target) and not options.display_name:
        print(f"{target} is there already: pip installed it")
        return 0
    write_spec(target, make_spec(options.display_name), replace=bool(options.stand_in))
    print(f"installed {target}")
    return 0


def kernel_name(text: str) -> str:
    """argparse type: a name that Jupyter accepts."""
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", text):
        raise argparse.ArgumentTypeError(f"{text!r} may hold letters, digits, '.', '_' and '-' only")
    return text


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser(
        "install",
        help="write Pupitre's kernelspec for a Jupyter that lives elsewhere, or remove it",
        description="Write a kernelspec that starts this environment's Pupitre. In the environment itself pip did so.",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--user", action="store_true", help=f"into {user_data()}/kernels (the default)")
    where.add_argument("--sys-prefix", action="store_true", help=f"into {sys.prefix}/share/jupyter/kernels")
    where.add_argument("--prefix", metavar="P", help="into P/share/jupyter/kernels")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--name", type=kernel_name, metavar="N", help=f"name of the kernelspec (default: {DEFAULT_NAME})")
    what.add_argument(
        "--as",
        dest="stand_in",
        type=kernel_name,
        metavar="N",
        help="stand in for the kernel N (python3), so that its notebooks run on Pupitre",
    )
    parser.add_argument("--display-name", metavar="D", help="what launchers show")
    parser.add_argument("--remove", action="store_true", help="undo: take it away, put back what it stood in for")
    parser.set_defaults(run=run)
