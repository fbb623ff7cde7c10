# SPDX-License-Identifier: BSD-3-Clause
from pupitre.compat import BackgroundSocket, IOPubThread
from pupitre.streams import OutStream

__all__ = ["BackgroundSocket", "IOPubThread", "OutStream"]
