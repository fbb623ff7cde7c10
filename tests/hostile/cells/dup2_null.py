# /dev/null put over descriptors 0 to 63: either
import os
null = os.open("/dev/null", os.O_RDWR)
for fd in range(64):
    try:
        os.dup2(null, fd)
    except OSError:
        pass
