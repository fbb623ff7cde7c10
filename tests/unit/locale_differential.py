# SPDX-License-Identifier: BSD-3-Clause
"""locale_differential.py DRIVER: become_environment beside what this Python makes of the same environment."""

from __future__ import annotations

import itertools
import subprocess
import sys

SECONDS = 30
FAILED = 70
TELL = """
import _locale as l, os, sys
for name, value in os.environ.items():
    print(name + "=" + value)
categories = l.LC_CTYPE, l.LC_COLLATE, l.LC_TIME, l.LC_MONETARY, l.LC_MESSAGES, l.LC_NUMERIC
print(*(l.setlocale(category, None) for category in categories), end=" \\n")
print(sys.flags.utf8_mode)
print(l.nl_langinfo(l.CODESET))
"""
VALUES = (None, "", "C", "POSIX", "C.UTF-8", "en_US.UTF-8", "no_SUCH.locale")
OTHERS: tuple[dict[str, str], ...] = ({}, {"LC_TIME": "C.UTF-8"}, {"LC_MESSAGES": "no_SUCH", "TZ": "Europe/Vienna"})


def output(command: list[str], environment: dict[str, str]) -> tuple[int, list[str]]:
    result = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    return result.returncode, result.stdout.splitlines()


def differs(driver: str, environment: dict[str, str]) -> bool:
    status, ours = output([driver], environment)
    _, cold = output([sys.executable, "-S", "-E", "-c", TELL], environment)
    is_utf8 = cold.pop() == "UTF-8"
    same = (status == 0 and ours == cold) if is_utf8 else status == FAILED
    if not same:
        print(f"FAILED  {environment}: status {status}\n  ours {ours}\n  cold {cold}")
    return not same


def main() -> int:
    names = ("LC_ALL", "LC_CTYPE", "LANG")
    environments = [
        {"A": "b", **{name: value for name, value in zip(names, values, strict=True) if value is not None}, **other}
        for values in itertools.product(VALUES, repeat=3)
        if len({None, "", *values}) <= 3 or values[0] is None is values[1]
        for other in (OTHERS if values[0] is None is values[1] else OTHERS[:1])
    ]
    failed = sum([differs(sys.argv[1], environment) for environment in environments])
    print(f"{len(environments)} environments, {failed} differ")
    return 1 if failed or not environments else 0


if __name__ == "__main__":
    sys.exit(main())
