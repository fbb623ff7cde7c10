# every shared mapping unmapped: either
import ctypes
import re
libc = ctypes.CDLL(None)
for line in open("/proc/self/maps").read().splitlines():
    match = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw-s", line)
    if match:
        begin, end = (int(word, 16) for word in match.groups())
        libc.syscall(11, ctypes.c_void_p(begin), ctypes.c_size_t(end - begin))
