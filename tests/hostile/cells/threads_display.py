# threads that call display while the cell ends: usable
import threading
from IPython.display import display
def show():
    for i in range(50):
        display(i)
for _ in range(8):
    threading.Thread(target=show).start()
