# asyncio's functions are None: answered
import asyncio
for name in ("get_running_loop", "get_event_loop", "new_event_loop", "run", "Task", "Future", "ensure_future", "gather"):
    setattr(asyncio, name, None)
