# signal.set_wakeup_fd at a descriptor of nobody: usable
import os
import signal
read, write = os.pipe()
os.set_blocking(write, False)
signal.set_wakeup_fd(write)
os.close(write)
