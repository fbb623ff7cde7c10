# asyncio.CancelledError in a plain cell: usable
import asyncio
raise asyncio.CancelledError
