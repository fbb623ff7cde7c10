# endless recursion in C until the stack is used up: either
# deadline: 20
import ctypes
import sys
sys.setrecursionlimit(10**9)
KIND = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)
call = KIND(lambda n: call(n + 1))
call(0)
