# a garbage collector callback that raises: usable
import gc
def callback(phase, info):
    raise RuntimeError(phase)
gc.callbacks.append(callback)
gc.set_threshold(1)
