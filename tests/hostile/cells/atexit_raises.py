# atexit that raises, run now: usable
import atexit
@atexit.register
def last():
    raise RuntimeError("at exit")
atexit._run_exitfuncs()
