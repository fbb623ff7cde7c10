# builtins.__import__ raises: usable
import builtins
def no(*args, **kwargs):
    raise ImportError("not today")
builtins.__import__ = no
