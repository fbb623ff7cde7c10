# a child that raises at the top: usable
import os
if os.fork() == 0:
    raise RuntimeError("in the child")
