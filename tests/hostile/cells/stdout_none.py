# sys.stdout is None: usable
import sys
sys.stdout = None
print("nobody reads this")
