# SPDX-License-Identifier: BSD-3-Clause
"""IPython's history in the user's database, without the thread that IPython writes it with."""

from typing import Any

from IPython.core import history as ipython_history


class HistoryManager(ipython_history.HistoryManager):
    """History without a saving thread."""
