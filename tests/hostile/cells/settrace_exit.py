# sys.settrace with a function that raises SystemExit: usable
import sys
def tracer(*args):
    raise SystemExit(4)
sys.settrace(tracer)
