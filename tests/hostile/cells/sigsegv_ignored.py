# SIGSEGV ignored, then a fault: reported
# names: SIGSEGV|[Ss]egmentation
import ctypes
import signal
signal.signal(signal.SIGSEGV, signal.SIG_IGN)
ctypes.string_at(0)
