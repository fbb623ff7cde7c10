# SPDX-License-Identifier: BSD-3-Clause
"""Stands in for the real package, so that the C of the worker is tested without IPython."""
