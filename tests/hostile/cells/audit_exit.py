# the interpreter finalised from inside: either
import ctypes
ctypes.pythonapi.Py_FinalizeEx()
