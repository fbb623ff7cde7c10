# sys.setprofile with a function that raises: usable
import sys
def profiler(*args):
    raise RuntimeError("profiled")
sys.setprofile(profiler)
