# __main__ replaced by an integer: usable
import sys
sys.modules["__main__"] = 3
