# the close_range system call: either
import ctypes
ctypes.CDLL(None).syscall(436, 3, 0xFFFFFFFF, 0)
