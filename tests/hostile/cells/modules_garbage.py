# sys.modules replaced by a list: usable
import sys
sys.modules = []
