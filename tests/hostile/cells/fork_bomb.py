# sixty-four processes by six forks, all coming back to the top: usable
import os
for _ in range(6):
    os.fork()
