# __repr__ that never ends, then Stop pressed: usable
# interrupt: 1
class Odd:
    def __repr__(self):
        while True:
            pass
Odd()
