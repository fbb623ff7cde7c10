# input() where the client allows none: usable
input("anybody there? ")
