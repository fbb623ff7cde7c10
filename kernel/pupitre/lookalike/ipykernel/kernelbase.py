# SPDX-License-Identifier: BSD-3-Clause
from pupitre.kernel import IPythonKernel as Kernel

__all__ = ["Kernel"]
