# __repr__ raises: usable
class Odd:
    def __repr__(self):
        raise ValueError("no repr")
Odd()
