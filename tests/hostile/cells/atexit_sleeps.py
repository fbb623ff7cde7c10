# atexit that sleeps for an hour, then exit: ended
import atexit
import time
atexit.register(time.sleep, 3600)
exit()
