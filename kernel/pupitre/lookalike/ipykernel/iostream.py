# SPDX-License-Identifier: BSD-3-Clause
from pupitre.compat import Socket as BackgroundSocket
from pupitre.compat import Thread as IOPubThread
from pupitre.streams import OutStream

__all__ = ["BackgroundSocket", "IOPubThread", "OutStream"]
