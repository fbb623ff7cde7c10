# O_NONBLOCK flipped on every descriptor: either
import os
for fd in range(64):
    try:
        os.set_blocking(fd, not os.get_blocking(fd))
    except OSError:
        pass
