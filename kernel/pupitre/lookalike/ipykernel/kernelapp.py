# SPDX-License-Identifier: BSD-3-Clause
from pupitre.app import IPKernelApp

launch_new_instance = IPKernelApp.launch_instance
__all__ = ["IPKernelApp", "launch_new_instance"]
