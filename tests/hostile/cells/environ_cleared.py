# no environment: usable
import os
os.environ.clear()
os.unsetenv("PATH")
