# out of memory under RLIMIT_AS: answered
import resource
used = int(open("/proc/self/statm").read().split()[0]) * 4096
resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20),) * 2)
hog = []
while True:
    hog.append(bytearray(1 << 20))
