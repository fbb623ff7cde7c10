# SPDX-License-Identifier: BSD-3-Clause
from pupitre.comms import Comm as BaseComm
from pupitre.comms import LegacyComm as Comm

__all__ = ["BaseComm", "Comm"]
