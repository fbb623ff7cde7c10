# SPDX-License-Identifier: BSD-3-Clause
from collections.abc import Iterator

import pytest
from front import Front


@pytest.fixture
def front() -> Iterator[Front]:
    """A worker that has said HELLO."""
    with Front() as running:
        running.start()
        yield running
