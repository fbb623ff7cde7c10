# SPDX-License-Identifier: BSD-3-Clause
"""The one place where the C module `_pupitre` is imported (built into pupitre-worker; tests put a fake in sys.modules).

What each name does is said in _pupitre.pyi.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pupitre._pupitre import *  # noqa: F403
else:
    from _pupitre import *  # noqa: F403
