# the shell's singleton forgotten: usable
type(get_ipython()).clear_instance()
