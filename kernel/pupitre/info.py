# SPDX-License-Identifier: BSD-3-Clause
"""The content of kernel_info_reply. The worker makes it once; the front sends it, and may add what is its own."""

import sys
from typing import Any

from IPython.core import release

PROTOCOL_VERSION = "5.4"

_LINKS = (
    ("Python Reference", "https://docs.python.org/{}.{}".format(*sys.version_info)),
    ("IPython Reference", "https://ipython.org/documentation.html"),
    ("NumPy Reference", "https://docs.scipy.org/doc/numpy/reference/"),
    ("SciPy Reference", "https://docs.scipy.org/doc/scipy/reference/"),
    ("Matplotlib Reference", "https://matplotlib.org/contents.html"),
    ("SymPy Reference", "http://docs.sympy.org/latest/index.html"),
    ("pandas Reference", "https://pandas.pydata.org/pandas-docs/stable/"),
)


HELP_LINKS = [{"text": text, "url": url} for text, url in _LINKS]


def language_info() -> dict[str, Any]:
    return {
        "name": "python",
        "version": sys.version.split()[0],
        "mimetype": "text/x-python",
        "codemirror_mode": {"name": "ipython", "version": sys.version_info[0]},
        "pygments_lexer": f"ipython{sys.version_info[0]}",
        "nbconvert_exporter": "python",
        "file_extension": ".py",
    }


def kernel_info(banner: str, help_links: list[dict[str, str]]) -> dict[str, Any]:
    """The whole content, status included."""
    return {
        "status": "ok",
        "protocol_version": PROTOCOL_VERSION,
        "implementation": "ipython",
        "implementation_version": release.version,
        "language_info": language_info(),
        "banner": banner,
        "help_links": help_links,
        "supported_features": [],
    }
