# the shell's kernel is None: usable
get_ipython().kernel = None
