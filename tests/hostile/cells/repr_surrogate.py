# __repr__ with lone surrogates and NUL: usable
class Odd:
    def __repr__(self):
        return "\ud800\x00\udfff"
Odd()
