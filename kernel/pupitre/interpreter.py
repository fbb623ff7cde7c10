# SPDX-License-Identifier: BSD-3-Clause
"""Whether an interpreter can carry Pupitre: for `pupitre doctor`, and for scripts/setup before anything is installed.

As a program it prints why not and exits 1, or prints nothing and exits 0. It must run on any Python >= 3.7.
"""

from __future__ import annotations

import os
import sys
import sysconfig

OLDEST = (3, 11)


def libpython() -> str:
    """Path of the shared libpython that this interpreter says it has; it may not exist."""
    return os.path.join(sysconfig.get_config_var("LIBDIR") or "", sysconfig.get_config_var("INSTSONAME") or "")


def unfit() -> str | None:
    """Why the running interpreter cannot carry Pupitre, as one sentence; None where it can."""
    if sys.implementation.name != "cpython":
        return f"{sys.executable} is {sys.implementation.name}; Pupitre needs CPython"
    if sys.version_info < OLDEST:
        return f"{sys.executable} is Python {sys.version.split()[0]}; Pupitre needs {OLDEST[0]}.{OLDEST[1]} or newer"
    if not sysconfig.get_config_var("Py_ENABLE_SHARED") or not os.path.isfile(libpython()):
        return f"{sys.executable} has no shared libpython (built without --enable-shared, or not installed)"
    return None


def headers_missing() -> str | None:
    """What is missing to build Pupitre with the running interpreter, as one sentence; None where nothing is."""
    header = os.path.join(sysconfig.get_paths()["include"], "Python.h")
    if os.path.isfile(header):
        return None
    return f"{sys.executable} has no headers ({header}): install its development package"


if __name__ == "__main__":
    verdict = unfit() or headers_missing()
    if verdict:
        print(verdict)
        sys.exit(1)
