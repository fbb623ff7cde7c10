# SPDX-License-Identifier: BSD-3-Clause
"""Pupitre: a Jupyter kernel whose protocol side is C and whose Python side is IPython.

The package is what runs inside `pupitre-worker` (start at `engine.main`) and the command `pupitre`. Importing it costs
nothing.
"""


def version() -> str:
    """The version of the installed distribution; the build knows it once, in CMakeLists.txt."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("pupitre")
    except PackageNotFoundError:
        return "0+unknown"
