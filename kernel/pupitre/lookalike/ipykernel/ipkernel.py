# SPDX-License-Identifier: BSD-3-Clause
from pupitre.kernel import IPythonKernel

Kernel = IPythonKernel  # another than kernelbase's, in ipykernel, too
__all__ = ["IPythonKernel", "Kernel"]
