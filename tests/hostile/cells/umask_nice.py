# lowest priority, no permission on new files: usable
import os
os.umask(0o777)
os.nice(19)
