# no display publisher and no display hook: usable
get_ipython().display_pub = get_ipython().displayhook = None
