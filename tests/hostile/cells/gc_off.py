# no garbage collection, and all of it frozen: usable
import gc
gc.set_threshold(1)
gc.collect()
gc.freeze()
gc.disable()
