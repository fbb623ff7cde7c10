# SystemExit out of an await: usable
import asyncio
await asyncio.sleep(0)
raise SystemExit(3)
