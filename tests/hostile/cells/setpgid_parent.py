# a move into the group of another: usable
import os
try:
    os.setpgid(0, os.getpgid(os.getppid()))
except OSError as error:
    print(error)
