# __repr__ raises a BaseException of its own: usable
class Stop(BaseException):
    pass
class Odd:
    def __repr__(self):
        raise Stop
Odd()
