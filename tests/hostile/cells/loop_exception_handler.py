# an exception handler of the loop that raises, and a task that needs it: usable
import asyncio
def handler(loop, context):
    raise SystemExit("handler")
asyncio.get_running_loop().set_exception_handler(handler)
asyncio.get_running_loop().call_soon(lambda: 1 / 0)
await asyncio.sleep(0.05)
