# CPU time used up: either
# deadline: 15
import resource
used = int(resource.getrusage(resource.RUSAGE_SELF).ru_utime) + 1
resource.setrlimit(resource.RLIMIT_CPU, (used, used + 1))
while True:
    pass
