# SPDX-License-Identifier: BSD-3-Clause
from pupitre.comms import LegacyComm as Comm
from pupitre.comms import LegacyCommManager as CommManager

__all__ = ["Comm", "CommManager"]
