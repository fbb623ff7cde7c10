# threads, and a fork while they run: usable
import os
import threading
import time
for _ in range(10):
    threading.Thread(target=time.sleep, args=(5,), daemon=True).start()
pid = os.fork()
if pid == 0:
    os._exit(0)
os.waitpid(pid, 0)
