# SPDX-License-Identifier: BSD-3-Clause
"""heap-driver template.py TRICKS CHECK...: be a template, run checks in children, print the outcome."""

import gc
import json
import os
import sys

import _nursery
import checks
from pupitre.nursery import bytecode


def main() -> None:
    tricks, names = sys.argv[1].split("+"), sys.argv[2:]
    gc.disable()
    made = checks.Made()
    gc.collect()
    said = {}
    if "counters" in tricks:
        said["counters"] = _nursery.note_counters(gc.get_objects(), main.__code__, bytecode.layout())
    if "immortal" in tricks:
        said["immortal"] = _nursery.immortalise(mortal=[made])
    gc.freeze()
    if "plug" in tricks:
        said["plug"] = _nursery.plug_holes()
    if "memfd" in tricks:
        said["memfd"] = _nursery.remap_heap()
    made.noted = "codes" in said.get("counters", {})
    failures = {name: checks.run(name, made) for name in names}
    print(json.dumps({"said": said, "failures": failures}), flush=True)
    os._exit(0)


main()
