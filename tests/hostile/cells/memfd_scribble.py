# noise written over every shared mapping: either
import ctypes
import re
for line in open("/proc/self/maps"):
    match = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw-s", line)
    if match:
        begin, end = (int(word, 16) for word in match.groups())
        ctypes.memset(begin, 0xA5, end - begin)
