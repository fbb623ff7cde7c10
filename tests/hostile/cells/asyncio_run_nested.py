# asyncio.run inside asyncio.run: usable
import asyncio
async def outer():
    asyncio.run(asyncio.sleep(0))
asyncio.run(outer())
