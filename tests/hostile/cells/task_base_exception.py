# tasks that end with SystemExit and KeyboardInterrupt: usable
import asyncio
async def leave(error):
    raise error
for error in (SystemExit(3), KeyboardInterrupt(), GeneratorExit()):
    asyncio.ensure_future(leave(error))
await asyncio.sleep(0.1)
