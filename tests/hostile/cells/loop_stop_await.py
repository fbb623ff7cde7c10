# the running loop stopped inside an await: usable
import asyncio
asyncio.get_running_loop().stop()
await asyncio.sleep(0.1)
