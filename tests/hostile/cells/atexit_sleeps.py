# atexit that sleeps for an hour, then exit: the end waits for it, and the next cell is told so: answered
import atexit
import time
atexit.register(time.sleep, 3600)
exit()
