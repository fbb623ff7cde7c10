# the alternate signal stack taken away, then a fault: reported
# names: SIGSEGV|[Ss]egmentation
import ctypes
libc = ctypes.CDLL(None)
class Stack(ctypes.Structure):
    _fields_ = [("sp", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t)]
libc.sigaltstack(ctypes.byref(Stack(None, 2, 0)), None)
ctypes.string_at(0)
