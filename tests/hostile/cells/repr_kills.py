# __repr__ that ends the process: reported
# names: 9
import os
class Odd:
    def __repr__(self):
        os._exit(9)
Odd()
