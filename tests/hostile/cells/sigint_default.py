# SIGINT with its default action: usable
import signal
signal.signal(signal.SIGINT, signal.SIG_DFL)
