# C code that holds the GIL for some seconds, then Stop pressed: usable
# interrupt: 0.5
# deadline: 30
sum(range(10**8))
