# a segmentation fault in a thread: reported
# names: SIGSEGV|[Ss]egmentation
import ctypes
import threading
thread = threading.Thread(target=ctypes.string_at, args=(0,))
thread.start()
thread.join()
