# closing descriptors 3 to 255: either
import os
for fd in range(3, 256):
    try:
        os.close(fd)
    except OSError:
        pass
