# sys.settrace with a function that raises: usable
import sys
import threading
def tracer(*args):
    raise RuntimeError("traced")
threading.settrace(tracer)
sys.settrace(tracer)
