# memory behind the end of a truncated file: reported
# names: SIGBUS|[Bb]us
import mmap
import os
import tempfile
file = tempfile.TemporaryFile()
file.truncate(8192)
view = mmap.mmap(file.fileno(), 8192)
os.truncate(file.fileno(), 0)
view[5000]
