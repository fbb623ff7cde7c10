# an interval timer every millisecond whose handler raises: usable
# interrupt: 1
import signal
def handler(number, frame):
    raise RuntimeError("tick")
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.05)
while True:
    pass
