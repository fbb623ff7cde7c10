# a loop policy that raises: usable
import asyncio
class Policy(asyncio.DefaultEventLoopPolicy):
    def get_event_loop(self):
        raise RuntimeError("no loop")
    new_event_loop = set_event_loop = get_event_loop
asyncio.set_event_loop_policy(Policy())
