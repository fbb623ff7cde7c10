# threads that print for ever: usable
import threading
def shout():
    while True:
        print("again")
for _ in range(4):
    threading.Thread(target=shout, daemon=True).start()
