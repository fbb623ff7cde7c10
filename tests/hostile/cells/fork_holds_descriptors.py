# a child that lives on and holds every descriptor: usable
import os
import time
if os.fork() == 0:
    os.setsid()
    time.sleep(30)
    os._exit(0)
