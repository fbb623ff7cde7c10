# two hundred threads that wait: usable
import threading
forever = threading.Event()
for _ in range(200):
    threading.Thread(target=forever.wait, daemon=True).start()
