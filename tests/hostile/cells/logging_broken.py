# logging that raises: usable
import logging
class Broken(logging.Handler):
    def emit(self, record):
        raise SystemExit("logged")
    handle = emit
logging.root.handlers[:] = [Broken()]
logging.root.setLevel(0)
logging.getLogger("asyncio").debug("x")
