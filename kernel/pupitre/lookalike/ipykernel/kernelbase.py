# SPDX-License-Identifier: BSD-3-Clause
from pupitre.kernel import Kernel

__all__ = ["Kernel"]
