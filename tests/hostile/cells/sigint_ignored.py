# SIGINT ignored: usable
import signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
