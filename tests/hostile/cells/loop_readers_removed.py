# every reader of the loop removed: either
import asyncio
loop = asyncio.get_running_loop()
for fd in range(64):
    loop.remove_reader(fd)
    loop.remove_writer(fd)
