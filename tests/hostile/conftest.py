# SPDX-License-Identifier: BSD-3-Clause
"""As root these tests mount small file systems, in a mount namespace of their own: nobody else sees them, and they go
with it.
"""

import ctypes
import os
import subprocess

CLONE_NEWNS = 0x20000


def pytest_configure() -> None:
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(CLONE_NEWNS) < 0:
            raise OSError(ctypes.get_errno(), "unshare")
        subprocess.run(["mount", "--make-rprivate", "/"], check=True, timeout=10)
