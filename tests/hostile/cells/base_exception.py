# a BaseException of its own: usable
class Stop(BaseException):
    pass
raise Stop
