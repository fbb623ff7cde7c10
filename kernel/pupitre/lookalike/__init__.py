# SPDX-License-Identifier: BSD-3-Clause
"""The folder `ipykernel` beside this file is what `import ipykernel` finds in the kernel (see imports.py).

Libraries recognise a notebook by that name. Each module there gives the names that other packages use, taken from
pupitre; a module that is not there comes from the real ipykernel, if it is installed.
"""
