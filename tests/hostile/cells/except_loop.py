# a loop that catches everything, then Stop pressed twice and more: usable
# interrupt: 1
import time
while True:
    try:
        time.sleep(0.1)
        presses
    except NameError:
        presses = 0
    except BaseException:
        presses += 1
        if presses == 2:
            break
