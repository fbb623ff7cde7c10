# showtraceback is None: usable
shell = get_ipython()
shell.showtraceback = shell.showsyntaxerror = None
1 / 0
