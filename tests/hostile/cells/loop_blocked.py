# a callback that blocks the loop after the cell: usable
import asyncio
import time
asyncio.get_running_loop().call_later(0.1, time.sleep, 2)
