# a task that cancels every task: usable
import asyncio
async def cancel():
    for task in asyncio.all_tasks():
        task.cancel()
asyncio.ensure_future(cancel())
await asyncio.sleep(1)
