# sys.modules.clear(): usable
import sys
sys.modules.clear()
