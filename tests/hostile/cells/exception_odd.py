# an exception whose text cannot be had: usable
class Odd(Exception):
    def __str__(self):
        raise RuntimeError("no text")
    __repr__ = __str__
raise Odd
