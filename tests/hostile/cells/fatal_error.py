# Py_FatalError: reported
# names: SIGABRT|[Aa]bort
import ctypes
ctypes.pythonapi.Py_FatalError(b"by hand")
