# the parent of a fork ends, the child comes back to the top: reported
import os
if os.fork() != 0:
    os._exit(5)
