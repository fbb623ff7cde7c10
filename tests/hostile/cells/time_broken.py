# time stands still and goes backwards: usable
import time
time.time = time.monotonic = time.perf_counter = lambda: -1.0
time.sleep = None
