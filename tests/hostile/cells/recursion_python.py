# endless recursion in Python: usable
def down(n):
    return down(n + 1) + 1
down(0)
