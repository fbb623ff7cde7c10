# SPDX-License-Identifier: BSD-3-Clause
"""CPython's own tests in children of a template with all the tricks, beside children of one that is only frozen.

    stdlib.py DRIVER PYTHON [TEST...]

DRIVER, PYTHON: as for measure.py. The package `test` must be whole; where the distribution keeps it elsewhere, name the
directory in PYTHONPATH. Without any TEST, those below. Each test file runs in a child of its own. Ends with 1 if a test
fails with the tricks that passes without them.
"""

import gc
import io
import json
import os
import signal
import subprocess
import sys
import unittest
from pathlib import Path
from typing import Any

TESTS = """
array ast augassign binascii bisect bool bytes call class cmath code collections compile complex
configparser contextlib copy copyreg coroutines csv dataclasses decorators defaultdict deque descr dict dictviews
difflib dis enum enumerate exception_hierarchy exceptions float format fractions frame fstring funcattrs functools
gc generators genericalias global hash hashlib heapq importlib inspect int io iter itertools json
keywordonlyarg list long marshal math memoryio memoryview minidom module mmap named_expressions opcodes operator
ordered_dict patma pickle posix print property queue range re reprlib richcmp scope set slice sort source_encoding
str string struct subclassinit super syntax sys textwrap time tokenize traceback tuple typing types unicodedata
unpack userdict weakref weakset with yield_from zlib
"""
DEADLINE = 1800  # seconds, all of them
TESTS_BETWEEN_RESTS = 10
FILE_DEADLINE = 150  # seconds, each of them


class Result(unittest.TextTestResult):
    """Rests now and then, as a worker does when its student pauses."""

    def stopTest(self, test: unittest.TestCase) -> None:
        import _nursery

        super().stopTest(test)
        if self.testsRun % TESTS_BETWEEN_RESTS == 0:
            _nursery.trim()
            _nursery.reshare()


def run_one(name: str) -> dict[str, Any]:
    """Run a test file here. How many tests, and which did not pass."""
    stream = io.StringIO()
    suite = unittest.defaultTestLoader.loadTestsFromName(f"test.{name if '.' in name else 'test_' + name}")
    result = unittest.TextTestRunner(stream=stream, verbosity=0, resultclass=Result).run(suite)
    bad = sorted({test.id() for test, _ in [*result.failures, *result.errors]})
    return {"run": result.testsRun, "omitted": len(result.skipped), "bad": bad}


def in_child(name: str) -> dict[str, Any]:
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 1)
        os.dup2(null, 2)
        gc.enable()
        signal.alarm(FILE_DEADLINE)
        try:
            told = run_one(name)
        except BaseException as error:
            told = {"run": 0, "omitted": 0, "bad": [f"{name}: {type(error).__name__}: {error}"]}
        os.write(write, json.dumps(told).encode())
        os._exit(0)
    os.close(write)
    with open(read, "rb") as said:
        text = said.read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return json.loads(text) if text else {"run": 0, "omitted": 0, "bad": [f"{name}: ended with {status}"]}


def template(tricks: bool, names: list[str]) -> None:
    import _nursery

    gc.disable()
    import numpy  # noqa: F401
    import pandas  # noqa: F401

    _nursery.tune_malloc()
    gc.collect()
    if tricks:
        print(_nursery.immortalise(), file=sys.stderr)
    gc.freeze()
    if tricks:
        print(_nursery.plug_holes(), _nursery.remap_heap(), file=sys.stderr)
    for name in names:
        print(json.dumps([name, in_child(name)]), flush=True)
    os._exit(0)


def start(driver: str, python: str, tricks: str, names: list[str]) -> dict[str, Any]:
    environment = os.environ | {"PUPITRE_PYTHON": python} | {f"{lib}_NUM_THREADS": "1" for lib in ("OMP", "OPENBLAS")}
    command = [driver, str(Path(__file__).resolve()), "--template", tricks, *names]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, timeout=DEADLINE, check=True)
    return dict(json.loads(line) for line in done.stdout.splitlines())


def main() -> int:
    if sys.argv[1] == "--template":
        template(sys.argv[2] == "all", sys.argv[3:])
    driver, python, *names = sys.argv[1:]
    plain, tricked = (start(driver, python, tricks, names or TESTS.split()) for tricks in ("none", "all"))
    worse = []
    for name, told in tricked.items():
        worse += sorted(set(told["bad"]) - set(plain[name]["bad"]))
        if told["run"] != plain[name]["run"]:
            worse.append(f"{name}: {told['run']} tests instead of {plain[name]['run']}")
    for title, told in (("freeze", plain), ("all tricks", tricked)):
        total, bad = sum(one["run"] for one in told.values()), [test for one in told.values() for test in one["bad"]]
        print(f"{title}: {len(told)} files, {total} tests, {len(bad)} did not pass: {' '.join(bad)}")
    print("only with the tricks:", *worse or ["none"], sep="\n  ")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
