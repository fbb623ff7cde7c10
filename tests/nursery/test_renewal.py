# SPDX-License-Identifier: BSD-3-Clause
"""A template that nobody asks any more is replaced, and with it address layout and hash seed of the kernels to come."""

from __future__ import annotations

from pathlib import Path

import pytest
from nursery import QUICK, Begin, Start, born_in_nursery
from pupitre.nursery.messages import Op

RELOADS = 5  # one more than the listener has room for templates
HASH = "[hash('a'), id(None)]"


@pytest.mark.long
def test_an_idle_template_is_replaced(begin: Begin, start: Start) -> None:
    nursery = begin("--import", "json", "--idle-rebuild", "1")
    first = nursery.template().pid
    kernel = start(nursery)
    before = kernel.client().evaluate(HASH)
    nursery.wait_template(other_than=first)
    assert start(nursery).client().evaluate(HASH) != before
    assert kernel.client().evaluate(HASH) == before


@pytest.mark.long
def test_not_before_somebody_used_it(begin: Begin) -> None:
    nursery = begin("--import", "json", "--idle-rebuild", "1")
    first = nursery.template()
    assert not first.gone(2.5)
    assert nursery.template().pid == first.pid


def test_more_generations_than_are_remembered(begin: Begin, start: Start) -> None:
    """The listener forgets the oldest template after so many reloads: its workers live on, and their fronts hear of
    their end.
    """
    nursery = begin(*QUICK)
    kernels = []
    for number in range(RELOADS + 1):
        kernels.append(start(nursery))
        kernels[-1].client().ok(f"mine = {number}")
        if number < RELOADS:
            template = nursery.template().pid
            nursery.ask(Op.RELOAD)
            nursery.wait_template(other_than=template)
    assert len({parent(born_in_nursery(kernel).pid) for kernel in kernels}) == RELOADS + 1
    clients = [kernel.client() for kernel in kernels]
    for number, client in enumerate(clients):
        assert client.ok("mine").text == str(number)
    for kernel, client in zip(kernels[:2], clients[:2], strict=True):
        cell = client.begin("import os, signal; print('ready', flush=True)\nos.kill(os.getpid(), signal.SIGKILL)")
        assert client.collect(cell, begun=True).error["ename"] == "KernelDied"
        kernel.wait_exit()
    for kernel, client in zip(kernels[2:], clients[2:], strict=True):
        client.recv_reply(client.send("shutdown_request", {"restart": False}, channel="control"))
        assert kernel.wait_exit() == 0
    nursery.wait_empty()
    nursery.wait_status("quiet", lambda found: found.live == 0)


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
