# SPDX-License-Identifier: BSD-3-Clause
from pupitre.kernel import IPythonKernel

Kernel = IPythonKernel
__all__ = ["IPythonKernel", "Kernel"]
