# every module in sys.modules is None: usable
import sys
for name in list(sys.modules):
    sys.modules[name] = None
