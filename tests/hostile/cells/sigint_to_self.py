# SIGINT sent to oneself: usable
import os
import signal
os.kill(os.getpid(), signal.SIGINT)
import time
time.sleep(1)
