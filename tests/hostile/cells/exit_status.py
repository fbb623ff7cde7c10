# os._exit(3): reported
# names: 3
import os
os._exit(3)
