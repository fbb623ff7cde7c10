# a parent death signal asked for, and dumpable off: usable
import ctypes
libc = ctypes.CDLL(None)
libc.prctl(1, 15)
libc.prctl(4, 0)
