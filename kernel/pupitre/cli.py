# SPDX-License-Identifier: BSD-3-Clause
"""The command `pupitre`: version, install, doctor, nursery, capacity. The kernel is another program, pupitre-kernel."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from pupitre import doctor, install, version
from pupitre.nursery import capacity
from pupitre.nursery import cli as nursery


def parser() -> argparse.ArgumentParser:
    """The whole command line; the subcommands say what theirs is."""
    top = argparse.ArgumentParser(
        prog="pupitre",
        description="Pupitre, a Jupyter Python kernel in C: set-up and diagnosis.",
        epilog="exit codes: 0 done, 1 it did not work (one line says why), 2 usage",
    )
    top.add_argument("--version", action="version", version=f"pupitre {version()}")
    commands = top.add_subparsers(title="commands", dest="command", required=True, metavar="COMMAND")
    install.add_parser(commands)
    doctor.add_parser(commands)
    nursery.add_parser(commands)
    capacity.add_parser(commands)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; its exit status. Exits with 2 itself when it cannot be parsed."""
    options = parser().parse_args(arguments)
    try:
        status: int = options.run(options)
    except (install.Refusal, OSError) as error:
        print(f"pupitre {options.command}: {error}", file=sys.stderr)
        return 1
    return status


if __name__ == "__main__":
    sys.exit(main())
