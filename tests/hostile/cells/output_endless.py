# endless output, then Stop pressed: usable
# interrupt: 2
while True:
    print("x" * 200)
