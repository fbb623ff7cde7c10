# the running loop stopped: usable
import asyncio
asyncio.get_running_loop().stop()
