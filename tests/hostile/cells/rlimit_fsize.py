# no file may grow: usable
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
open("grown", "w").write("x" * 10)
