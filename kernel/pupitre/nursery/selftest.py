# SPDX-License-Identifier: BSD-3-Clause
"""Proves, before the first worker, that this template can be forked: two probe children must each run code, and must
not share what no two kernels may share.
"""

import json
import os
import select
import sys
from time import monotonic
from typing import Any

from pupitre.app import IPKernelApp

from . import fresh

_SECONDS = 20.0  # for a child to do all of it


class Failed(Exception):
    """What a probe found, in one line."""


def run(app: IPKernelApp) -> None:
    """Raise Failed unless two children work and differ."""
    probes = [_ask_child(app) for _ in range(2)]
    for name in probes[0]:
        if probes[0][name] == probes[1][name]:
            raise Failed(f"two children have the same {name}")


def _ask_child(app: IPKernelApp) -> dict[str, Any]:
    """What a forked child answers."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        _be_child(app, writer)
    os.close(writer)
    answer = b""
    until = monotonic() + _SECONDS
    while select.select([reader], [], [], max(0.0, until - monotonic()))[0]:
        chunk = os.read(reader, 65536)
        answer += chunk
        if not chunk:
            break
    else:
        os.kill(pid, 9)
    os.close(reader)
    _, status = os.waitpid(pid, 0)
    if status != 0 or not answer:
        raise Failed(f"a forked child ended with status {status}: {answer.decode(errors='replace') or 'no answer'}")
    found: dict[str, Any] = json.loads(answer)
    return found


def _be_child(app: IPKernelApp, writer: int) -> None:
    """Never returns."""
    status = 1
    try:
        fresh.reseed()
        os.write(writer, json.dumps(_try_out()).encode())
        status = 0
    except BaseException as error:
        os.write(writer, f"{type(error).__name__}: {error}".encode())
    finally:
        os._exit(status)


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
