# a Python handler for SIGSEGV, then a fault, then Stop pressed: either
# interrupt: 1
import ctypes
import signal
signal.signal(signal.SIGSEGV, lambda *args: None)
ctypes.string_at(0)
