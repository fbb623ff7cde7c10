# raw close system calls past every wrapper: either
import ctypes
libc = ctypes.CDLL(None)
for fd in range(3, 64):
    libc.syscall(3, fd)
