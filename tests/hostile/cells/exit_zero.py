# os._exit(0): reported
# names: exit|0
import os
os._exit(0)
