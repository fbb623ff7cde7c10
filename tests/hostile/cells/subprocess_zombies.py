# a hundred subprocesses nobody waits for: usable
import subprocess
keep = [subprocess.Popen(["true"]) for _ in range(100)]
