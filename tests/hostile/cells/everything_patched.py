# every function of os, time and threading raises: answered
import os
import threading
import time
def no(*args, **kwargs):
    raise RuntimeError("not today")
for module in (os, time, threading):
    for name, value in list(vars(module).items()):
        if callable(value) and not isinstance(value, type) and not name.startswith("__"):
            setattr(module, name, no)
