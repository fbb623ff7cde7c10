# a thread switch only every hour: usable
import sys
import threading
sys.setswitchinterval(3600)
threading.Thread(target=lambda: sum(range(10**6)), daemon=True).start()
