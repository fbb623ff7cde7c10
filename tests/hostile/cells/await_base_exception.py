# a BaseException of its own out of an await: usable
import asyncio
class Stop(BaseException):
    pass
await asyncio.sleep(0)
raise Stop
