# SPDX-License-Identifier: BSD-3-Clause
"""Which words of a command line are IPython's."""

import pytest
from IPython.core.shellapp import shell_flags
from pupitre.app import IPKernelApp
from pupitre.arguments import sort_out

KNOWN = [
    (["-c", "x = 1"], ["-c", "x = 1"]),
    (["-cx=1"], ["-cx=1"]),
    (["--matplotlib"], ["--matplotlib"]),
    (["--matplotlib", "inline"], ["--matplotlib", "inline"]),
    (["--pdb", "word"], ["--pdb", "--", "word"]),
    (["word", "--pdb", "--", "--pdb"], ["--pdb", "--", "word", "--pdb"]),
    (["--Any.trait", "1"], ["--Any.trait", "1"]),
    (["--Any.trait", "-1"], ["--Any.trait", "-1"]),
    (["--Any.trait=1"], ["--Any.trait=1"]),
    (["", "-"], ["--", "", "-"]),
]
IGNORED = [
    (["--nope", "--pdb"], ["--pdb"], [["--nope"]]),
    (["--nope", "1", "word"], ["--", "word"], [["--nope", "1"]]),
    (["--nope=1", "word"], ["--", "word"], [["--nope=1"]]),
    (["-x", "-y1"], [], [["-x"], ["-y1"]]),
    (["--pdb=1"], [], [["--pdb=1"]]),
    (["--ext"], [], [["--ext"]]),
    (["--Any.trait"], [], [["--Any.trait"]]),
    (["---", "--"], [], [["---"]]),
]


@pytest.mark.parametrize(("arguments", "known"), KNOWN, ids=str)
def test_known(arguments: list[str], known: list[str]) -> None:
    assert "pdb" in shell_flags
    assert sort_out(arguments, IPKernelApp.flags, IPKernelApp.aliases) == (known, [])


@pytest.mark.parametrize(("arguments", "known", "ignored"), IGNORED, ids=str)
def test_ignored(arguments: list[str], known: list[str], ignored: list[list[str]]) -> None:
    assert sort_out(arguments, IPKernelApp.flags, IPKernelApp.aliases) == (known, ignored)
