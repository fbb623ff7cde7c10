# SPDX-License-Identifier: BSD-3-Clause
from pupitre.lookalike.ipykernel import (
    __version__,
    kernel_protocol_version,
    kernel_protocol_version_info,
    version_info,
)

__all__ = ["__version__", "kernel_protocol_version", "kernel_protocol_version_info", "version_info"]
