# a child that traces its parent, stops it and leaves: either
# interrupt: 1
import ctypes
import os
libc = ctypes.CDLL(None)
pid = os.getpid()
if os.fork() == 0:
    libc.ptrace(16, pid, 0, 0)
    os._exit(0)
os.wait()
