# the loop's selector closed under it: either
import asyncio
loop = asyncio.get_running_loop()
loop._selector.close()
