# SPDX-License-Identifier: BSD-3-Clause
from pupitre.comms import LegacyCommManager as CommManager

__all__ = ["CommManager"]
