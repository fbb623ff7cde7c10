# every descriptor read empty: either
import os
for fd in range(3, 64):
    try:
        os.set_blocking(fd, False)
        os.read(fd, 65536)
    except (OSError, ValueError):
        pass
