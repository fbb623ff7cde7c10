# SPDX-License-Identifier: BSD-3-Clause
from pupitre.connect import connect_qtconsole, get_connection_file, get_connection_info

__all__ = ["connect_qtconsole", "get_connection_file", "get_connection_info"]
