# RLIMIT_AS below what is in use: answered
import resource
resource.setrlimit(resource.RLIMIT_AS, (1 << 20, 1 << 20))
hog = [bytearray(1 << 20) for _ in range(1000)]
