# SPDX-License-Identifier: BSD-3-Clause
from pupitre.display import ZMQDisplayPublisher
from pupitre.magics import KernelMagics
from pupitre.shell import ZMQInteractiveShell

__all__ = ["KernelMagics", "ZMQDisplayPublisher", "ZMQInteractiveShell"]
