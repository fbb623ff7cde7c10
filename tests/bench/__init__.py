# SPDX-License-Identifier: BSD-3-Clause
"""Benchmarks: Pupitre beside ipykernel, xeus-python and the floor, in one run. `python -m tests.bench --help`."""
