# a child that leaves by sys.exit: usable
import os
import sys
if os.fork() == 0:
    sys.exit(7)
os.wait()
