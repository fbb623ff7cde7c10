# SPDX-License-Identifier: BSD-3-Clause
from pupitre.comms import BaseComm, Comm

__all__ = ["BaseComm", "Comm"]
