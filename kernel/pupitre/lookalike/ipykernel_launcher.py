# SPDX-License-Identifier: BSD-3-Clause
"""sys.argv[0] in cells: a file by the name that ipykernel's has, because argparse shows that name and some libraries
open the file. Run with the rest of sys.argv, as ipykernel's can be, it becomes a kernel.
"""

import os
import sys
import sysconfig

if __name__ == "__main__":
    program = os.path.join(sysconfig.get_path("scripts"), "pupitre-kernel")
    os.execv(program, [program, *sys.argv[1:]])
