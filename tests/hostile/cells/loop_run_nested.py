# the running loop asked to run again: usable
import asyncio
asyncio.get_running_loop().run_until_complete(asyncio.sleep(0.01))
asyncio.get_running_loop().run_forever()
