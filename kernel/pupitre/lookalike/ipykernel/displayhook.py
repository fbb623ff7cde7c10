# SPDX-License-Identifier: BSD-3-Clause
from pupitre.display import ZMQDisplayHook, ZMQShellDisplayHook

__all__ = ["ZMQDisplayHook", "ZMQShellDisplayHook"]
