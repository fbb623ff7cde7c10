# the connection file deleted: usable
import os
import sys
os.unlink(sys.argv[-1])
