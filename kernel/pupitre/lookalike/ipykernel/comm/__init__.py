# SPDX-License-Identifier: BSD-3-Clause
from .comm import Comm
from .manager import CommManager

__all__ = ["Comm", "CommManager"]
