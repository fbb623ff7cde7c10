# a type whose every attribute raises BaseException: usable
class Meta(type):
    def __getattribute__(cls, name):
        raise KeyboardInterrupt
class Odd(metaclass=Meta):
    def __getattribute__(self, name):
        raise KeyboardInterrupt
odd = Odd()
odd
