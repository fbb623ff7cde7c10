# a task that never lets go, between cells, then Stop pressed: either
# interrupt-next: 1
import asyncio
async def spin():
    while True:
        pass
keep = asyncio.ensure_future(spin())
