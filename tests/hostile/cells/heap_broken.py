# the same memory freed twice: reported
# names: SIGABRT|SIGSEGV|[Aa]bort|[Ss]egmentation
import ctypes
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
pointer = libc.malloc(2000)
keep = libc.malloc(2000)
libc.free(pointer)
libc.free(pointer)
