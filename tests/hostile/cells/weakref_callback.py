# __del__ that raises and revives: usable
class Undead:
    def __del__(self):
        global undead
        undead = self
        raise RuntimeError("not yet")
undead = Undead()
del undead
