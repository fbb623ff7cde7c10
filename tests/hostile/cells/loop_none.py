# no current loop: usable
import asyncio
asyncio.set_event_loop(None)
asyncio._set_running_loop(None)
