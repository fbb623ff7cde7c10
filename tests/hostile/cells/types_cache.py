# attributes of types of the standard library replaced: answered
import io
import threading
threading.Thread.start = threading.Thread.join = None
threading.Lock = threading.RLock = None
io.StringIO = io.BytesIO = None
