# every public attribute of the shell that can be set is None: answered
shell = get_ipython()
for name in dir(shell):
    if not name.startswith("_"):
        try:
            setattr(shell, name, None)
        except BaseException:
            pass
