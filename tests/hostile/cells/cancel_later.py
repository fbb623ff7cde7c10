# a task that cancels every task, again and again, between cells: usable
import asyncio
async def cancel():
    for _ in range(100):
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0.005)
keep = asyncio.ensure_future(cancel())
