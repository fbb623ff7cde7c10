# SPDX-License-Identifier: BSD-3-Clause
"""What all layers share: PUPITRE_TEST_NURSERY=1 runs them on kernels that a nursery forked (tests/nursery/warm.py);
otherwise no nursery that this machine may have is asked.
"""

import os

if os.environ.get("PUPITRE_TEST_NURSERY"):
    pytest_plugins = ["warm"]
else:
    os.environ.setdefault("PUPITRE_NURSERY", "off")
