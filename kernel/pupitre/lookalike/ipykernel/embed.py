# SPDX-License-Identifier: BSD-3-Clause
from typing import Any


def embed_kernel(module: Any = None, local_ns: Any = None, **kwargs: Any) -> None:
    """Refuses: this process is a kernel already, and its connection belongs to the process in front of it."""
    raise RuntimeError(
        "embed_kernel() cannot start a second kernel inside Pupitre; use breakpoint() to look around here"
    )
