# ctypes.string_at(0): reported
# names: SIGSEGV|[Ss]egmentation
import ctypes
ctypes.string_at(0)
