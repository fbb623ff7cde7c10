# sys.stderr is None, then a warning: usable
import sys
import warnings
sys.stderr = sys.__stderr__ = None
warnings.warn("into nothing")
