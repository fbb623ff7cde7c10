# SPDX-License-Identifier: BSD-3-Clause
"""Proves, before the first worker, that this template can be forked: two probe children must each run code, and must
not share what no two kernels may share.
"""

import json
import os
import sys
from typing import Any

from . import chance, probe


def run() -> None:
    """Raise probe.Failed unless two children work and differ."""
    probes = [json.loads(probe.ask(_be_child)) for _ in range(2)]
    for name in probes[0]:
        if probes[0][name] == probes[1][name]:
            raise probe.Failed(f"two children have the same {name}")


def _be_child() -> bytes:
    chance.reseed()
    return json.dumps(_try_out()).encode()


def _try_out() -> dict[str, Any]:
    """Use what hangs or repeats itself in a badly forked process; the values that must differ."""
    import random
    import uuid

    values: dict[str, Any] = {"random": random.random(), "uuid": str(uuid.uuid4()), "urandom": os.urandom(8).hex()}
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        values["numpy.random"] = numpy.random.random()
        numpy.dot(numpy.ones((200, 200)), numpy.ones((200, 200)))
        numpy.linalg.inv(numpy.eye(50) * 2)
    process = sys.modules.get("multiprocessing.process")
    if process is not None:
        values["multiprocessing authkey"] = bytes(process.current_process().authkey).hex()
    return values
