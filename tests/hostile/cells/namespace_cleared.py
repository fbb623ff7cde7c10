# the user's namespace emptied: usable
get_ipython().user_ns.clear()
get_ipython().user_global_ns.clear()
globals().clear()
