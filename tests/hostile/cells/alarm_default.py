# SIGALRM with its default action: reported
# names: SIGALRM|Alarm
import signal
import time
signal.alarm(1)
time.sleep(30)
