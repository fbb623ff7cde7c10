# SPDX-License-Identifier: BSD-3-Clause
from pupitre.compat import encode_images, json_clean

__all__ = ["encode_images", "json_clean"]
