# SPDX-License-Identifier: BSD-3-Clause
"""What waits until the student pauses."""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .kernel import IPythonKernel


class Pause:
    """Calls `act` once, as ours, when `seconds` have passed since the last put_off() and no cell runs."""

    def __init__(self, kernel: "IPythonKernel", seconds: float, act: Callable[[], None]) -> None:
        self.seconds, self.act = seconds, act
        self._kernel = kernel
        self._waits = False
        self._since = 0.0

    def put_off(self) -> None:
        """Something was asked for just now."""
        loop = self._kernel.loop
        self._since = loop.time()
        if not self._waits:
            self._waits = True
            loop.call_ours_later(self.seconds, self._look)

    def _look(self) -> None:
        loop = self._kernel.loop
        left = self.seconds if self._kernel.is_busy else self._since + self.seconds - loop.time()
        if left > 0.1 * self.seconds:
            loop.call_ours_later(left, self._look)
            return
        self._waits = False
        self.act()
