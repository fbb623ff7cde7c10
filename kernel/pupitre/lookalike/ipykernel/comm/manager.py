# SPDX-License-Identifier: BSD-3-Clause
from pupitre.comms import CommManager

__all__ = ["CommManager"]
