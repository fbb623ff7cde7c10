# exit(3) of the C library: reported
# names: 3
import ctypes
ctypes.CDLL(None).exit(6 // 2)
