# None loses a million references: either
import ctypes
ctypes.pythonapi.Py_DecRef.argtypes = [ctypes.py_object]
for _ in range(1_000_000):
    ctypes.pythonapi.Py_DecRef(None)
