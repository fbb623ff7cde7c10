# a result of fifty million characters: usable
# deadline: 20
class Odd:
    def __repr__(self):
        return "x" * 50_000_000
Odd()
