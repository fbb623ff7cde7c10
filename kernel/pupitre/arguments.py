# SPDX-License-Identifier: BSD-3-Clause
"""The command line, as far as it is IPython's: what traitlets would refuse is set aside instead.

Jupyter's clients hand their own arguments down to whichever kernel they start; a kernel that ended because it does not
know one would be the only thing that is wrong with them.
"""

import re
from collections.abc import Container, Sequence

_NUMBER = re.compile(r"-\.?\d")
_TRAIT = re.compile(r"--[A-Z]\w*\.\w")


def sort_out(
    arguments: Sequence[str], flags: Container[str], aliases: Container[str]
) -> tuple[list[str], list[list[str]]]:
    """What traitlets can parse, and options that mean nothing to it, each with its value.

    An alias, and `--Class.trait`, has its value behind `=`, as the next argument if that does not look like an option,
    or right behind a single letter; a flag needs none. So does an unknown option. What is no option, and all that
    follows `--`, comes last.
    """
    known: list[str] = []
    rest: list[str] = []
    ignored: list[list[str]] = []
    waiting = list(arguments)
    while waiting:
        words = [waiting.pop(0)]
        if words[0] == "--":
            rest += waiting
            break
        if not _is_option(words[0]):
            rest += words
            continue
        name, valued = _look_at(words[0])
        flag, alias = name in flags, name in aliases or _TRAIT.match(words[0]) is not None
        if not valued and (alias or not flag) and waiting and not _is_option(waiting[0]):
            words.append(waiting.pop(0))
        if (flag and not valued) or (alias and (valued or len(words) == 2)):
            known += words
        else:
            ignored.append(words)
    return (known if not rest else [*known, "--", *rest]), ignored


def _is_option(argument: str) -> bool:
    return argument.startswith("-") and argument != "-" and not _NUMBER.match(argument)


def _look_at(option: str) -> tuple[str, bool]:
    """Its name, and whether it holds its value."""
    if option.startswith("--"):
        name, equals, _ = option[2:].partition("=")
        return name, bool(equals)
    return option[1], len(option) > 2
