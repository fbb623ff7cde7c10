# endless recursion through C: usable
class Node:
    def __repr__(self):
        return repr(self)
Node()
