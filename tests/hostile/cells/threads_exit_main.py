# the main thread ended under Python: either
import ctypes
ctypes.CDLL(None).syscall(60, 0)
