# endless recursion with the limit at a hundred thousand: either
# deadline: 20
import sys
sys.setrecursionlimit(10**5)
def down(n):
    return down(n + 1) + 1
down(0)
