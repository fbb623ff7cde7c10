# SPDX-License-Identifier: BSD-3-Clause
"""The nursery's Python: the command `pupitre nursery`, and what runs in the template. Importing it costs nothing."""
