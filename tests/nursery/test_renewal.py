# SPDX-License-Identifier: BSD-3-Clause
"""A template that nobody asks any more is replaced, and with it address layout and hash seed of the kernels to come."""

from __future__ import annotations

from nursery import Begin, Start

HASH = "[hash('a'), id(None)]"


def test_an_idle_template_is_replaced(begin: Begin, start: Start) -> None:
    nursery = begin("--import", "json", "--idle-rebuild", "1")
    first = nursery.template().pid
    kernel = start(nursery)
    before = kernel.client().evaluate(HASH)
    nursery.wait_template(other_than=first)
    assert start(nursery).client().evaluate(HASH) != before
    assert kernel.client().evaluate(HASH) == before


def test_not_before_somebody_used_it(begin: Begin) -> None:
    nursery = begin("--import", "json", "--idle-rebuild", "1")
    first = nursery.template()
    assert not first.gone(2.5)
    assert nursery.template().pid == first.pid
