# sys.stdout whose write raises: usable
import sys
class Broken:
    def write(self, text):
        raise RuntimeError("no")
    flush = write
sys.stdout = sys.stderr = sys.__stdout__ = sys.__stderr__ = Broken()
print("x")
