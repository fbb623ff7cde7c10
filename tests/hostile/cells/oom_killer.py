# the process asks to be killed first, and is: reported
# names: SIGKILL|[Kk]illed
import os
import signal
os.kill(os.getpid(), signal.SIGKILL)
