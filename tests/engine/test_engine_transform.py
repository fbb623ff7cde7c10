# SPDX-License-Identifier: BSD-3-Clause
"""The memory of input transformation gives what IPython gives, and steps aside for transformers of the user's."""

import pytest
from IPython.core.inputtransformer2 import TransformerManager
from pupitre.transform import REMEMBERED, RememberingTransformer

CELLS = [
    "pass",
    "%time 1",
    "!ls",
    "a = !ls",
    "x?",
    "%%bash\nls",
    "  indented\n  too",
    ">>> 1\n1",
    "",
    "a = 1\n\n/ 2",
    "x = '%s' % 1",
]


@pytest.mark.parametrize("cell", CELLS)
def test_as_ipython_does(cell: str) -> None:
    remembering = RememberingTransformer()
    wanted = TransformerManager().transform_cell(cell)
    assert [remembering.transform_cell(cell) for _ in range(3)] == [wanted] * 3


def test_added_transformers_always_run() -> None:
    remembering = RememberingTransformer()
    seen: list[list[str]] = []
    remembering.transform_cell("1")
    remembering.cleanup_transforms.append(lambda lines: seen.append(lines) or lines)
    for _ in range(2):
        remembering.transform_cell("1")
    assert len(seen) == 2
    remembering.cleanup_transforms.pop()
    remembering.transform_cell("1")
    assert len(seen) == 2


def test_memory_is_bounded() -> None:
    remembering = RememberingTransformer()
    for number in range(3 * REMEMBERED):
        remembering.transform_cell(str(number))
    assert len(remembering._memory) == REMEMBERED
