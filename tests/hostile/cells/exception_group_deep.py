# a group of groups of exceptions: usable
error = ValueError("innermost")
for _ in range(200):
    error = ExceptionGroup("group", [error])
raise error
