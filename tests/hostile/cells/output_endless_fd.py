# endless output past Python, then Stop pressed: usable
# interrupt: 2
import os
while True:
    os.write(1, b"x" * 4096)
