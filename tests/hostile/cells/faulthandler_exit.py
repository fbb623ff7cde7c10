# faulthandler that ends the process after a second: reported
import faulthandler
import time
faulthandler.dump_traceback_later(1, exit=True)
time.sleep(30)
