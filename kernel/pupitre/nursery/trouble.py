# SPDX-License-Identifier: BSD-3-Clause
"""What passes by itself, and what somebody has to mend."""

from __future__ import annotations

import errno
import subprocess

_PASSES = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.ENOMEM,
    errno.ENOBUFS,
    errno.EAGAIN,  # processes
    errno.EMFILE,
    errno.ENFILE,
}


def is_of_the_moment(error: BaseException | None) -> bool:
    """Whether an error, or what it was made of, is for want of space, memory, processes, descriptors or time."""
    while error is not None:
        if isinstance(error, (MemoryError, subprocess.TimeoutExpired)):
            return True
        if isinstance(error, OSError) and error.errno in _PASSES:
            return True
        error = error.__context__
    return False
