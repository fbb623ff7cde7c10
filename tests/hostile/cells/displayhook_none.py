# sys.displayhook and sys.excepthook are None: usable
import sys
sys.displayhook = sys.excepthook = sys.__displayhook__ = None
1 / 0
