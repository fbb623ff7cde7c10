# out of memory one small object at a time: either
# interrupt: 4
import resource
used = int(open("/proc/self/statm").read().split()[0]) * 4096
resource.setrlimit(resource.RLIMIT_AS, (used + (32 << 20),) * 2)
hog = []
while True:
    hog.append([hog, len(hog)])
