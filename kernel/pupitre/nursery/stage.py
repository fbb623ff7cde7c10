# SPDX-License-Identifier: BSD-3-Clause
"""What a template stands on while it is built: a folder for what packages and the rehearsal write, and, for root, the
guard (trust.py), which C has put into sys.modules before the first import.
"""

import os
import shutil
import sys
from typing import Any

_guard: Any = None


def scratch(home: str) -> str:
    """Where a template works that has this home."""
    return os.path.join(home, "scratch")


def enter() -> None:
    """Work in a folder of our own; as root, make sure that what configures IPython for the machine is root's alone."""
    global _guard
    # C keeps it. What is in sys.modules when the shell is protected, a kernel would put back when it is missing.
    _guard = sys.modules.pop("_pupitre_guard", None)
    place = scratch(os.path.expanduser("~"))
    shutil.rmtree(place, ignore_errors=True)  # of a template that failed
    os.mkdir(place, 0o700)
    os.chdir(place)
    if _guard is not None:
        from IPython.core.application import ENV_CONFIG_DIRS, SYSTEM_CONFIG_DIRS

        for folder in (*ENV_CONFIG_DIRS, *SYSTEM_CONFIG_DIRS):
            for above, _, names in os.walk(folder):
                for name in (".", *names):
                    _guard.check(os.path.join(above, name))


def check(path: str) -> None:
    """As root: PermissionError where somebody else can change a folder."""
    guard = _guard or sys.modules.get("_pupitre_guard")
    if guard is not None:
        guard.check(path)


def tell(sentence: str) -> None:
    """Into the nursery's log."""
    os.write(2, f"pupitre-template: {sentence}\n".encode(errors="backslashreplace"))


def leave() -> None:
    """The rehearsal is over: what it wrote goes."""
    os.chdir("/")
    shutil.rmtree(scratch(os.path.expanduser("~")), ignore_errors=True)


def dismiss_guard() -> str:
    """What it has refused, one sentence, or ""."""
    global _guard
    guard, _guard = _guard, None
    return str(guard.end()) if guard is not None else ""
