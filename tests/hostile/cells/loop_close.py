# the running loop closed: usable
import asyncio
asyncio.get_running_loop().close()
