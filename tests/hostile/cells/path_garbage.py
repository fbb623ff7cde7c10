# sys.path holds what is no path: usable
import sys
sys.path[:] = [None, 3, b"\xff", object(), "\ud800"]
