# the lowest recursion limit that is allowed: usable
import sys
depth, limit = 0, 5
while limit < 200:
    try:
        sys.setrecursionlimit(limit)
        break
    except RecursionError:
        limit += 1
