# the clocks are None, and asyncio has timers to wait for: usable
import asyncio
import time
asyncio.get_running_loop().call_later(0.01, print, "tick")
time.time = time.monotonic = time.perf_counter = time.sleep = None
