# a thread that raises with threading.excepthook gone: usable
import threading
threading.excepthook = None
thread = threading.Thread(target=lambda: 1 / 0)
thread.start()
thread.join()
