# a call through a null pointer: reported
# names: SIGSEGV|[Ss]egmentation
import ctypes
ctypes.CFUNCTYPE(None)(0x10)()
