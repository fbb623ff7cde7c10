# a file put over descriptors 1 and 2: usable
import os
null = os.open("/dev/null", os.O_RDWR)
os.dup2(null, 1)
os.dup2(null, 2)
print("x")
