# a stack of 64 KiB, then recursion: either
import resource
resource.setrlimit(resource.RLIMIT_STACK, (65536, resource.getrlimit(resource.RLIMIT_STACK)[1]))
def down(n):
    return down(n + 1) + 1
down(0)
