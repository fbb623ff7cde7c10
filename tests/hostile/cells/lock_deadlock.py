# a lock that nobody gives back, then Stop pressed: usable
# interrupt: 1
import threading
lock = threading.Lock()
lock.acquire()
lock.acquire()
