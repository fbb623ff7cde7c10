# a session and group of its own: usable
import os
for call in (os.setsid, os.setpgrp):
    try:
        call()
    except OSError as error:
        print(error)
