# get_ipython itself is None: usable
import builtins
builtins.get_ipython = None
get_ipython = None
