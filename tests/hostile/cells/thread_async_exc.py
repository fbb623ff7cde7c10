# an exception thrown into the main thread from another: usable
import ctypes
import threading
import time
main = threading.main_thread().ident
def throw():
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(main), ctypes.py_object(KeyError))
threading.Timer(0.3, throw).start()
while True:
    time.sleep(0.01)
